"""A version names everything that decides a vector."""

import msgspec
import pytest

from workers.encoder.spec import EncoderSpec, text_hash

SPEC = EncoderSpec(model="m", weights="ab", precision="fp32", dim=4, max_tokens=8)


@pytest.mark.parametrize(
    "change", [{"weights": "cd"}, {"precision": "bf16"}, {"dim": 5}, {"max_tokens": 9}, {"prompt": "query: "}]
)
def test_any_changed_field_changes_the_version(change):
    """Vectors of two versions must never meet."""
    assert msgspec.structs.replace(SPEC, **change).version != SPEC.version


def test_the_version_is_the_same_in_every_process():
    """It names keys in Redis and vectors on the topic: it may not depend on the process."""
    assert SPEC.version == "dc80e41045dd338b"


@pytest.mark.parametrize("bad", [{"dim": 0}, {"max_tokens": 2}])
def test_impossible_specs_do_not_construct(bad):
    """Illegal states cannot be built."""
    with pytest.raises(ValueError, match="at least"):
        EncoderSpec(**{"model": "m", "weights": "w", "precision": "fp32", "dim": 4, "max_tokens": 8, **bad})


def test_lone_surrogates_hash():
    """Any string that JSON can carry has a key."""
    assert text_hash("\ud800") != text_hash("\ud801")
