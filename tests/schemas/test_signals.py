"""The signals block codec: round trips, golden bytes, and damage that is always named."""

from dataclasses import fields, replace
from hashlib import blake2b
from pathlib import Path

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.control import PolicySwitch
from schemas.errors import CorruptBlockError
from schemas.signals import (
    DTYPES,
    MAGIC,
    SECTIONS,
    Columns,
    Cover,
    SignalBlock,
    decode_block,
    encode_block,
)
from tests.contracts.logs import make_log

GOLDEN = Path(__file__).parent / "golden" / "v1"


def rows(kind: type[Columns], n: int, items: int, rng: np.random.Generator, overlap: int) -> Columns:
    """Random valid rows: every column filled, ragged columns of random lengths."""
    columns: dict[str, np.ndarray] = {}
    ragged = 0
    for f in fields(kind):
        dtype = np.dtype(DTYPES[f.name])
        if f.name.endswith("_start"):
            columns[f.name] = np.r_[0, np.cumsum(rng.integers(0, 4, n))].astype(dtype)
            ragged = int(columns[f.name][-1])
        elif f.name in {"ctx_item", "ctx_gap", "ctx_kind", "cand_item"}:
            columns[f.name] = rng.integers(0, items, ragged).astype(dtype)
        elif f.name == "features":
            columns[f.name] = rng.normal(size=(ragged, 5)).astype(dtype)
        elif f.name == "ranks":
            columns[f.name] = rng.integers(0, 100, (n, 3)).astype(dtype)
        elif f.name == "overlap":
            columns[f.name] = rng.random((n, overlap)).astype(dtype)
        else:
            columns[f.name] = rng.integers(0, items, n).astype(dtype)
    return kind(**columns)


def block(n: int, seed: int, overlap: int = 2) -> SignalBlock:
    """A block with ``n`` rows of every kind; ``overlap`` 0: as builds before that column wrote it."""
    rng = np.random.default_rng(seed)
    return SignalBlock(
        cover=Cover(2, 1, 10, 10 + n),
        items=("a", "b", "ç"),
        controls=(
            PolicySwitch(experiment="launch", from_epoch=0, to_epoch=1, policy="safe", reason="test", ts=5),
        ),
        feature_names=("f",) * 5,
        component_names=("c",),
        **{name: rows(kind, n, 3, rng, overlap) for name, kind in SECTIONS.items()},
    )


def same(a: SignalBlock, b: SignalBlock) -> bool:
    """Whether two blocks are equal, column by column."""
    heads = (a.cover, a.items, a.controls, a.feature_names) == (b.cover, b.items, b.controls, b.feature_names)
    return heads and all(
        np.array_equal(getattr(getattr(a, s), f.name), getattr(getattr(b, s), f.name))
        for s, kind in SECTIONS.items()
        for f in fields(kind)
        if len(getattr(a, s)) or len(getattr(b, s))
    )


@given(st.integers(0, 30), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_blocks_round_trip(n: int, seed: int, overlap: int) -> None:
    """What was written is what is read, and the same block gives the same bytes."""
    written = block(n, seed, overlap)
    data = encode_block(written)
    assert same(decode_block(data), written)
    assert encode_block(decode_block(data)) == data


def test_golden_block_still_reads_the_same() -> None:
    """A block that version 1 wrote, before and after the overlap column, is read for ever."""
    assert same(decode_block((GOLDEN / "signals.bin").read_bytes()), block(4, 20261125, overlap=0))
    assert same(decode_block((GOLDEN / "signals.overlap.bin").read_bytes()), block(4, 20261125))


def test_a_block_without_overlaps_is_what_older_builds_wrote() -> None:
    """The optional column leaves no trace where it is empty."""
    assert encode_block(block(4, 20261125, overlap=0)) == (GOLDEN / "signals.bin").read_bytes()


@settings(max_examples=400)
@given(st.data())
def test_damaged_blocks_name_the_damage(data: st.DataObject) -> None:
    """Cut or flip a byte anywhere: CorruptBlockError, never another error, never other rows."""
    raw = bytearray(encode_block(block(3, 7)))
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del raw[at:]
    with pytest.raises(CorruptBlockError):
        decode_block(bytes(raw))


@settings(max_examples=300)
@given(st.data())
def test_damage_under_a_right_checksum_is_named(data: st.DataObject) -> None:
    """A writer's fault (bytes changed before the checksum) gives the codec's error or rows."""
    body = bytearray(cramjam.zstd.decompress(encode_block(block(3, 7))[12:]))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    packed = bytes(cramjam.zstd.compress(bytes(body)))
    try:
        decode_block(MAGIC + blake2b(packed, digest_size=8).digest() + packed)
    except CorruptBlockError as error:
        assert error.field


@pytest.mark.parametrize("data", [b"", b"SWB1", b"XXXX", b"SWB1" + b"\0" * 64])
def test_garbage_is_refused(data: bytes) -> None:
    """Bytes that are no block give the codec's own error."""
    with pytest.raises(CorruptBlockError):
        decode_block(data)


def test_an_index_outside_the_dictionary_is_refused() -> None:
    """A row may not point at an item that the block does not name."""
    bad = block(3, 7)
    with pytest.raises(CorruptBlockError, match="item"):
        decode_block(encode_block(SignalBlock(cover=bad.cover, items=("a",), interactions=bad.interactions)))


def test_a_cover_cannot_end_before_it_begins() -> None:
    """Illegal states do not construct."""
    with pytest.raises(CorruptBlockError, match="cover"):
        Cover(0, 0, 5, 4)


@pytest.mark.parametrize(
    ("section", "column"),
    [
        ("interactions", "weight"),
        ("interactions", "ctx_gap"),
        ("exposures", "propensity"),
        ("rewards", "amount"),
        ("probes", "features"),
    ],
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused(section: str, column: str, wrong: float) -> None:
    """One NaN or infinity among the numbers that folds add up: the column and the value are named."""
    block = make_log(60)
    rows = getattr(block, section)
    spoiled = getattr(rows, column).copy()
    spoiled.flat[-1] = wrong
    bad = replace(block, **{section: replace(rows, **{column: spoiled})})
    with pytest.raises(CorruptBlockError, match=rf"{section}.{column}: {wrong}: every number must be finite"):
        decode_block(encode_block(bad))


@pytest.mark.parametrize(("column", "wrong"), [("ctx_gap", -1.0), ("weight", 1e30), ("weight", -1e7)])
def test_numbers_that_would_spoil_a_fold_are_refused(column: str, wrong: float) -> None:
    """A gap below 0 or a vast weight: the column, the value and the bounds are named."""
    good = block(3, 7)
    values = getattr(good.interactions, column).copy()
    values[-1] = wrong
    bad = replace(good, interactions=replace(good.interactions, **{column: values}))
    with pytest.raises(CorruptBlockError, match=f"interactions.{column}.*between"):
        decode_block(encode_block(bad))
