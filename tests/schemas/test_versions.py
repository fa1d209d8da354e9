"""The layout of versions: what was written is read in place, and what is damaged is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.errors import SnapshotError
from schemas.versions import ALIGNMENT, Version, layout, read

HEAD = Version("shop", "boot", 7, 100, 1_700_000_000_000, {"epoch": 3, "folds": {"a": [1, 2]}})
DTYPES = ["<f4", "<f8", "<i4", "<i8", "<u2", "<u8", "|u1", "|b1"]

any_array = st.sampled_from(DTYPES).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9))
)


def written(arrays) -> bytearray:
    return bytearray(b"".join(layout(HEAD, arrays)))


@given(st.dictionaries(st.text(max_size=9), any_array, max_size=6))
def test_arrays_come_back_as_views_of_what_was_written(arrays):
    """Any names, types and shapes; aligned, writable, and without a copy."""
    data = written(arrays)
    version, found = read(data, "shop", "boot")
    assert (version.offset, version.rows, version.values) == (7, 100, HEAD.values)
    assert found.keys() == arrays.keys()
    whole = np.frombuffer(data, np.uint8)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable
        assert found[name].flags.c_contiguous
        assert not array.size or np.shares_memory(found[name], whole)
    assert len(data) % ALIGNMENT == 0


@settings(max_examples=60)
@given(st.data())
def test_cut_or_longer_files_are_named(data):
    """Wherever a file ends too early, or goes on, it is refused."""
    whole = written({"n": np.arange(40), "m": np.ones((3, 5), np.float32)})
    at = data.draw(st.integers(0, len(whole) - 1))
    for bad in (whole[:at], whole + bytes(1 + at)):
        with pytest.raises(SnapshotError, match="models: "):
            read(bad, "shop", "boot")


@settings(max_examples=200)
@given(st.data())
def test_a_flipped_bit_of_the_header_is_named(data):
    """Every bit before the first array counts, but for the padding."""
    whole = written({"n": np.arange(40)})
    length = 20 + int.from_bytes(whole[4:12], "little")
    at = data.draw(st.integers(0, length - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SnapshotError, match="models: "):
        read(whole, "shop", "boot")


@pytest.mark.parametrize(
    ("deployment", "boot", "named"),
    [("other", "boot", "of deployment 'shop'"), ("shop", "later", "before this machine was started")],
)
def test_strangers_are_named(deployment, boot, named):
    """Another deployment's versions, and those of another boot."""
    with pytest.raises(SnapshotError, match=named):
        read(written({}), deployment, boot)
