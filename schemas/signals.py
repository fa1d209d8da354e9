"""The learning log: columnar rows, and the block codec with its cover.

A block carries the rows that a user agent derived from one run of one ``events`` partition, and the
*cover* ``(after, to]`` of the events that it accounts for, poison and ignored ones included.  Folds
read nothing but these bytes: a row brings its own context (the user's recent history before the
event) as indices into the block's item dictionary.

Rows are kept as one struct of numpy columns per kind.  Ragged columns use an offsets array: row ``i``
owns ``ctx_item[ctx_start[i]:ctx_start[i + 1]]``.
"""

from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cache
from hashlib import blake2b
from math import prod
from typing import Any, Self

import cramjam
import msgspec
import numpy as np
import numpy.typing as npt

from schemas.control import ControlRow
from schemas.errors import CorruptBlockError

VERSION = 1
MAGIC = b"SWB1"

Int8 = npt.NDArray[np.int8]
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


class Kind(IntEnum):
    """What a person did; the numbers are part of the wire format and never change."""

    CLICK = 1
    PURCHASE = 2
    LIKE = 3
    DISLIKE = 4
    HIDE = 5
    CART = 6
    RATING = 7
    PLAY = 8
    IMPRESSION = 9


class Arm(IntEnum):
    """Which side of the running experiment a person is on."""

    TREATMENT = 0
    HOLDOUT = 1


class Cover(msgspec.Struct, frozen=True):
    """The events that a block accounts for: offsets ``after < offset <= to`` of one partition.

    Parameters
    ----------
    partition, incarnation
        Which ``events`` partition, and which life of it.
    after, to
        Offsets; ``after`` is the ``to`` of the partition's former block (-1 at its beginning).
    """

    partition: int
    incarnation: int
    after: int
    to: int

    def __post_init__(self) -> None:
        if self.to < self.after:
            raise CorruptBlockError("cover", (self.after, self.to), "`to` must not be below `after`")


@dataclass(frozen=True, slots=True)
class Columns:
    """Base of the row structs: equally long columns, built from arrays, compared by value."""

    @classmethod
    @cache
    def empty(cls) -> Self:
        """No rows; the same object each time."""
        dtypes = {f.name: np.dtype(f.metadata.get("dtype", DTYPES[f.name])) for f in fields(cls)}
        start = {n: np.zeros(1 if n.endswith("_start") else 0, d) for n, d in dtypes.items()}
        for name, width in WIDE.items():
            if name in start:
                start[name] = np.zeros((0, width), dtypes[name])
        return cls(**start)

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.__dataclass_fields__))))


DTYPES: dict[str, str] = {
    "item": "<i4",
    "user": "<u8",
    "ts": "<i8",
    "kind": "u1",
    "weight": "<f4",
    "offset": "<i8",
    "arm": "u1",
    "repeat": "u1",
    "age": "<i4",
    "ctx_start": "<i4",
    "ctx_item": "<i4",
    "ctx_gap": "<f4",
    "ctx_kind": "u1",
    "decision": "<u8",
    "position": "u1",
    "propensity": "<f8",
    "p_control": "<f8",
    "p_uniform": "<f8",
    "epoch": "<i4",
    "explored": "u1",
    "pinned": "u1",
    "reward": "u1",
    "amount": "<f4",
    "lag": "<f4",
    "inferred": "u1",
    "first": "u1",
    "target": "<i4",
    "cand_start": "<i4",
    "cand_item": "<i4",
    "features": "<f4",
    "ranks": "<i2",
    "maturity": "u1",
    "gap": "u1",
    "overlap": "<f4",
}
WIDE: dict[str, int] = {"features": 0, "ranks": 0, "overlap": 0}
"""Two-dimensional columns; their widths travel with the block."""
OPTIONAL = frozenset({"overlap"})
"""Wide columns that older builds did not write: left out where they are 0 wide, read back as 0 wide."""


@dataclass(frozen=True, slots=True, eq=False)
class InteractionRows(Columns):
    """What people did, each with the history before it.

    Attributes
    ----------
    item
        Index into the block's dictionary, shape (n,).
    user
        ``stable_hash`` of the user id.
    ts
        Event time, ms.
    kind, weight
        ``Kind``; learning weight (1 for a plain event, below 0 for dislike and hide).
    offset
        Offset in ``events``: with the cover's partition, the row's identity.
    arm
        ``Arm``; rows of the holdout train no fold of the treatment.
    repeat
        1 if the person had this item already.
    age
        How many interactions the person had before.
    ctx_start, ctx_item, ctx_gap, ctx_kind
        History before the event, newest first: dictionary index, seconds before this event, kind.
    """

    item: Int32
    user: UInt64
    ts: Int64
    kind: UInt8
    weight: Float32
    offset: Int64
    arm: UInt8
    repeat: UInt8
    age: Int32
    ctx_start: Int32
    ctx_item: Int32
    ctx_gap: Float32
    ctx_kind: UInt8


@dataclass(frozen=True, slots=True, eq=False)
class ExposureRows(Columns):
    """What was shown: one row per item of each decision that was read back from ``events``.

    Attributes
    ----------
    decision
        ``stable_hash`` of the decision id.
    propensity, p_control, p_uniform
        Probability of the item in its slot given the prefix: under the policy that served, the
        control and the uniform policy over the same candidates; float64, never rounded.
    position
        0-based slot.
    epoch
        Policy epoch that served.
    """

    item: Int32
    user: UInt64
    ts: Int64
    offset: Int64
    decision: UInt64
    position: UInt8
    propensity: Float64
    p_control: Float64
    p_uniform: Float64
    arm: UInt8
    epoch: Int32
    explored: UInt8
    pinned: UInt8


@dataclass(frozen=True, slots=True, eq=False)
class RewardRows(Columns):
    """What a decision brought: one row per click or purchase joined to it.

    Attributes
    ----------
    decision
        ``stable_hash`` of the decision id; 0 when the reward names none.
    reward
        ``Kind.CLICK`` or ``Kind.PURCHASE``.
    amount
        Revenue for purchases, 1 for clicks.
    lag
        Seconds from the decision to the reward.
    inferred
        1 if joined by inference (such rows stay out of off-policy evaluation).
    first
        1 if it is the person's first reward of this kind in the experiment.
    """

    item: Int32
    user: UInt64
    ts: Int64
    offset: Int64
    decision: UInt64
    position: UInt8
    propensity: Float64
    reward: UInt8
    amount: Float32
    lag: Float32
    inferred: UInt8
    arm: UInt8
    first: UInt8
    epoch: Int32


@dataclass(frozen=True, slots=True, eq=False)
class ProbeRows(Columns):
    """Test-then-learn: candidates and features before the event, and the item that came.

    Attributes
    ----------
    target
        Index of the item among the probe's candidates; -1 if no component proposed it.
    item
        The item that came, index into the dictionary.
    cand_start, cand_item, features
        Ragged candidates: dictionary index, and features of shape (total, n_features).
    ranks
        1-based rank that each component gave to the item, 0 for "not listed"; shape
        (n, n_components + 2): the fused list and rank fusion come last.
    maturity, gap
        Gate buckets of the user at that time.
    overlap
        Mean rank-biased overlap of each component's list with those of other components, and of the
        fused list with all, shape (n, n_components + 1); NaN: no list to compare.  Shape (n, 0) in
        blocks of builds that did not compute it.
    """

    item: Int32
    user: UInt64
    ts: Int64
    offset: Int64
    weight: Float32
    arm: UInt8
    target: Int32
    cand_start: Int32
    cand_item: Int32
    features: Float32
    ranks: Int16
    maturity: UInt8
    gap: UInt8
    overlap: Float32


@dataclass(frozen=True, slots=True)
class SignalBlock:
    """One record of the ``signals`` topic.

    Parameters
    ----------
    cover
        Which events the block accounts for; None for blocks of control rows only.
    items
        The dictionary: item ids, each once, that row columns index into.
    interactions, exposures, rewards, probes
        Columnar rows, each kind in events order.
    controls
        Policy switches, ticks and retirements.
    schema
        Names of the probe features and components, in column order.
    beat
        When the newest heartbeat among the covered events set out, ms; 0: there is none.  Folds ignore it.
    """

    cover: Cover | None
    items: tuple[str, ...] = ()
    interactions: InteractionRows = field(default_factory=InteractionRows.empty)
    exposures: ExposureRows = field(default_factory=ExposureRows.empty)
    rewards: RewardRows = field(default_factory=RewardRows.empty)
    probes: ProbeRows = field(default_factory=ProbeRows.empty)
    controls: tuple[ControlRow, ...] = ()
    feature_names: tuple[str, ...] = ()
    component_names: tuple[str, ...] = ()
    beat: int = 0


SECTIONS: dict[str, type[Columns]] = {
    "interactions": InteractionRows,
    "exposures": ExposureRows,
    "rewards": RewardRows,
    "probes": ProbeRows,
}


class _Header(msgspec.Struct, omit_defaults=True):
    version: int
    cover: Cover | None
    items: tuple[str, ...]
    controls: tuple[ControlRow, ...]
    feature_names: tuple[str, ...]
    component_names: tuple[str, ...]
    columns: list[tuple[str, str, list[int]]]
    beat: int = 0


_header_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(_Header)


def encode_block(block: SignalBlock) -> bytes:
    """Bytes of a block: magic, checksum, then zstd of (header length, header, columns back to back).

    The same block gives the same bytes.
    """
    columns: list[tuple[str, str, list[int]]] = []
    payload: list[bytes] = []
    for section, kind in SECTIONS.items():
        rows = getattr(block, section)
        if len(rows):
            for f in fields(kind):
                column = np.ascontiguousarray(getattr(rows, f.name), DTYPES[f.name])
                if f.name in OPTIONAL and not column.shape[1]:
                    continue
                columns.append((f"{section}.{f.name}", column.dtype.str, list(column.shape)))
                payload.append(column.tobytes())
    header = _header_encoder.encode(
        _Header(
            VERSION,
            block.cover,
            block.items,
            block.controls,
            block.feature_names,
            block.component_names,
            columns,
            block.beat,
        )
    )
    body = bytes(
        cramjam.zstd.compress(b"".join([len(header).to_bytes(4, "little"), header, *payload]), level=1)
    )
    return MAGIC + _digest(body) + body


def decode_block(data: bytes) -> SignalBlock:
    """The block that ``encode_block`` wrote.

    Raises
    ------
    CorruptBlockError
        Names the part that is damaged; nothing else is raised, whatever the bytes.
    """
    header, payload = _open(data)
    if header.version != VERSION:
        raise CorruptBlockError("version", header.version, f"this build reads version {VERSION}")
    found = _read_columns(header, payload)
    parts: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        parts[section] = _rows(section, kind, found, len(header.items))
    return SignalBlock(
        cover=header.cover,
        items=header.items,
        controls=header.controls,
        feature_names=header.feature_names,
        component_names=header.component_names,
        beat=header.beat,
        **parts,
    )


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=8).digest()


def _open(data: bytes) -> tuple[_Header, memoryview]:
    if data[:4] != MAGIC:
        raise CorruptBlockError("magic", data[:4], f"a signals block begins with {MAGIC!r}")
    if data[4:12] != _digest(data[12:]):
        raise CorruptBlockError("checksum", data[4:12], "the block was cut or changed after it was written")
    try:
        # not bytes: arrays that may not be written are of another type to kernels
        body = bytearray(cramjam.zstd.decompress(data[12:]))
    except (cramjam.DecompressionError, OverflowError, MemoryError) as error:
        raise CorruptBlockError("body", str(error), "the zstd frame is damaged") from error
    length = int.from_bytes(body[:4], "little")
    if len(body) < 4 + length or length == 0:
        raise CorruptBlockError("header", length, "the header is cut off")
    try:
        header = _header_decoder.decode(body[4 : 4 + length])
    except (msgspec.DecodeError, UnicodeDecodeError, CorruptBlockError) as error:
        raise CorruptBlockError("header", str(error), "the header is damaged") from error
    return header, memoryview(body)[4 + length :]


_STORED = {name: np.dtype(code) for name, code in DTYPES.items()}


def _read_columns(header: _Header, payload: memoryview) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for name, code, shape in header.columns:
        expected = _STORED.get(name.partition(".")[2])
        if expected is None or code != expected.str:
            raise CorruptBlockError(name, code, f"expected a column of type {expected}")
        if min(shape, default=-1) < 0:
            raise CorruptBlockError(name, shape, "a shape has no negative parts")
        size = prod(shape) * expected.itemsize  # of Python's integers, which do not overflow
        if at + size > len(payload):
            raise CorruptBlockError(name, size, f"only {len(payload) - at} bytes are left")
        found[name] = np.frombuffer(payload[at : at + size], expected).reshape(shape)
        at += size
    if at != len(payload):
        raise CorruptBlockError("columns", len(payload) - at, "bytes are left over")
    return found


_RAGGED = {"ctx_item": "ctx_start", "ctx_gap": "ctx_start", "ctx_kind": "ctx_start"} | {
    "cand_item": "cand_start",
    "features": "cand_start",
}
_INDEXED = frozenset({"item", "ctx_item", "cand_item"})
_BOUNDS = {"ctx_gap": (0.0, np.inf), "weight": (-1e6, 1e6)}
"""What folds compute with: a gap below 0 or a vast weight would spoil them for good."""
_FINITE = frozenset(n for n, code in DTYPES.items() if "f" in code and n != "overlap")
"""Columns of numbers that folds add up: one NaN would stay in the models for ever."""


def _rows(section: str, kind: type[Columns], found: dict[str, npt.NDArray[Any]], n_items: int) -> Columns:
    names = [f.name for f in fields(kind)]
    present = [n for n in names if f"{section}.{n}" in found]
    if not present:
        return kind.empty()
    if missing := sorted(set(names) - set(present) - OPTIONAL):
        raise CorruptBlockError(f"{section}.{missing[0]}", None, "the column is missing")
    columns = {n: found[f"{section}.{n}"] for n in present}
    n = len(columns[names[0]])
    for name in set(names) - set(present):
        columns[name] = np.zeros((n, 0), DTYPES[name])
    for name, column in columns.items():
        want = n + 1 if name.endswith("_start") else _ragged_length(columns, name, n)
        if column.shape[0] != want or column.ndim != (2 if name in WIDE else 1):
            raise CorruptBlockError(f"{section}.{name}", list(column.shape), f"expected {want} rows")
        if name in _INDEXED and column.size and (int(column.min()) < 0 or int(column.max()) >= n_items):
            raise CorruptBlockError(f"{section}.{name}", None, f"an index is outside the {n_items} items")
        if name in _FINITE and not np.isfinite(column).all():
            wrong = float(column[~np.isfinite(column)][0])
            raise CorruptBlockError(f"{section}.{name}", wrong, "every number must be finite")
        if name in _BOUNDS and column.size:
            _check_bounds(f"{section}.{name}", column, *_BOUNDS[name])
    _check_offsets(section, columns)
    return kind(**columns)


def _check_bounds(field: str, column: npt.NDArray[Any], low: float, high: float) -> None:
    beyond = (column < low) | (column > high)
    if beyond.any():
        raise CorruptBlockError(field, float(column[beyond][0]), f"must be between {low:g} and {high:g}")


def _ragged_length(columns: dict[str, npt.NDArray[Any]], name: str, n: int) -> int:
    start = columns.get(_RAGGED.get(name, ""))
    return n if start is None else int(start[-1]) if start.size else -1


def _check_offsets(section: str, columns: dict[str, npt.NDArray[Any]]) -> None:
    for name in ("ctx_start", "cand_start"):
        start = columns.get(name)
        if start is not None and (int(start[0]) != 0 or bool((np.diff(start) < 0).any())):
            raise CorruptBlockError(f"{section}.{name}", None, "offsets must rise from 0")
