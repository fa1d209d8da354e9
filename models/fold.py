"""Folds of the signals log: what they are, and the log that feeds them each row exactly once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from models.interning import Interner
from models.jit import kernel
from schemas.control import ControlRow
from schemas.errors import CoverGapError, SnapshotError
from schemas.signals import (
    Arm,
    Columns,
    Cover,
    ExposureRows,
    Int32,
    Int64,
    InteractionRows,
    ProbeRows,
    RewardRows,
    SignalBlock,
)
from schemas.snapshots import Buffer, identify, pack, unpack_parts, verify

C = TypeVar("C", bound=Columns)
Mask = npt.NDArray[np.bool_]

_PER_ROW = {"ctx_start": ("ctx_item", "ctx_gap", "ctx_kind"), "cand_start": ("cand_item", "features")}


@dataclass(frozen=True, slots=True)
class Rows:
    """One block as folds read it.

    The columns are those of ``schemas.signals``, with two differences: item columns hold *fold slots*
    (0: unknown) instead of dictionary indices, and rows that were applied before, and rows of the
    holdout arm, are gone.

    Attributes
    ----------
    n_items
        Fold slots in use after this block: arrays indexed by slot need this length.
    """

    interactions: InteractionRows
    exposures: ExposureRows
    rewards: RewardRows
    probes: ProbeRows
    controls: tuple[ControlRow, ...]
    feature_names: tuple[str, ...]
    component_names: tuple[str, ...]
    n_items: int


@runtime_checkable
class Fold(Protocol):
    """A synchronous, seeded state machine over rows.

    ``learn`` reads nothing but its argument; the same rows in the same order give the same bytes of
    ``snapshot``, however they were packed into blocks.
    """

    VERSION: int
    name: str

    def learn(self, rows: Rows) -> None:
        """Apply rows, in order."""

    def snapshot(self) -> bytes:
        """The whole state in the envelope of ``schemas.snapshots``."""

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote.

        Raises
        ------
        SnapshotError
            Damaged, another fold's or of another version; the state is then unchanged.
        """

    def checksum(self) -> int:
        """64 bits that change whenever the state does."""


class Lent(NamedTuple):
    """A state that is shown, not copied: arrays that go on being used by whoever lent them."""

    arrays: dict[str, npt.NDArray[Any]]
    values: dict[str, Any]

    def copied(self) -> "Lent":
        """The same state, which nobody changes any more."""
        return Lent({name: array.copy() for name, array in self.arrays.items()}, self.values)


@runtime_checkable
class Lender(Fold, Protocol):
    """A fold whose state other processes can read without a copy."""

    def lend(self, n_items: int) -> Lent:
        """The whole state as it stands; arrays by fold slot have room for slots below ``n_items``."""

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave, holding its arrays themselves."""


class FoldLog:
    """Feeds blocks to folds: each row once, in order, with fold slots for item ids.

    Parameters
    ----------
    folds
        Learn in this order.
    keep_holdout
        Also feed rows of the holdout arm: for folds that compare arms, never for those that train.

    Notes
    -----
    Rows at or below the high-water of their source ``(partition, incarnation)`` were applied before
    and are skipped; a cover that starts above it is a gap and raises.  A source that was never seen
    may start at the beginning of its partition only (``after == -1``).
    """

    VERSION = 2

    def __init__(self, folds: Sequence[Fold], *, keep_holdout: bool = False) -> None:
        self.items = Interner()
        self.keep_holdout = keep_holdout
        self.folds = tuple(folds)
        self.high_water: dict[tuple[int, int], int] = {}
        self.rows_learned = 0
        self.borrowed = False

    def learn(self, block: SignalBlock) -> Rows | None:
        """Apply what is new in a block; None if nothing is.

        Raises
        ------
        CoverGapError
            The block starts above the high-water of its source; nothing was applied.
        RuntimeError
            The arrays are another process's: only that one learns.
        """
        if self.borrowed:
            raise RuntimeError("fold-log: its arrays are a learner's, who alone writes them: learn there")
        fresh = self._fresh(block)
        if fresh is None:
            return None
        rows = self._translate(fresh)
        for fold in self.folds:
            fold.learn(rows)
        self.rows_learned += len(rows.interactions)
        if fresh.cover is not None:
            self.high_water[fresh.cover.partition, fresh.cover.incarnation] = fresh.cover.to
        return rows

    def _fresh(self, block: SignalBlock) -> SignalBlock | None:
        cover = block.cover
        if cover is None:
            return block
        applied = self.high_water.get((cover.partition, cover.incarnation), -1)
        if cover.after > applied:
            raise CoverGapError(f"{cover.partition}/{cover.incarnation}", applied, cover.after)
        if cover.to <= applied:
            return None
        return _select(block, lambda rows: _above(rows, applied, cover))

    def _translate(self, block: SignalBlock) -> Rows:
        if not self.keep_holdout:
            block = _select(block, _not_holdout)
        slots = self._slots(block)
        return Rows(
            interactions=_with_slots(block.interactions, slots),
            exposures=_with_slots(block.exposures, slots),
            rewards=_with_slots(block.rewards, slots),
            probes=_with_slots(block.probes, slots),
            controls=block.controls,
            feature_names=block.feature_names,
            component_names=block.component_names,
            n_items=len(self.items),
        )

    def _slots(self, block: SignalBlock) -> Int32:
        """Dictionary index to fold slot; new slots in the order in which rows use them."""
        slots = self.items.lookup_many(block.items)
        if slots.size and not slots.all():
            a, b, c = block.interactions, block.exposures, block.rewards
            used = _order_of_use(
                (a.offset, a.ctx_start, a.ctx_item, a.item), (b.offset, b.item), (c.offset, c.item), slots
            )
            for index in used:
                slots[index] = self.items.intern(block.items[index])
        return slots

    def snapshot(self) -> bytes:
        """Fold slots, high-waters and all folds."""
        meta = {
            "items": list(self.items.ids),
            "high_water": sorted((*k, v) for k, v in self.high_water.items()),
            "rows": self.rows_learned,
            "folds": [fold.name for fold in self.folds],
        }
        parts = {fold.name: fold.snapshot() for fold in self.folds}
        return pack("fold-log", self.VERSION, {}, meta, parts)

    def restore(self, data: Buffer) -> None:
        """Become what ``snapshot`` wrote.

        Raises
        ------
        SnapshotError
            Damaged, or one of the folds is missing or of another version; nothing has changed then.
        """
        verify(data, "fold-log")
        parts, meta = unpack_parts(data, "fold-log", self.VERSION)
        for fold in self.folds:
            if fold.name not in parts:
                raise SnapshotError(f"fold-log: {fold.name}: not in this snapshot: rebuild from the log")
            identify(parts[fold.name], fold.name, fold.VERSION)
        for fold in self.folds:
            fold.restore(bytes(parts[fold.name]))
        self.items = Interner(meta["items"])
        self.borrowed = False
        self.high_water = {(p, i): to for p, i, to in meta["high_water"]}
        self.rows_learned = meta["rows"]

    def checksums(self) -> dict[str, int]:
        """Checksum per fold, for metrics and for comparing two hosts."""
        return {fold.name: fold.checksum() for fold in self.folds}


def _above(rows: Columns, applied: int, cover: Cover) -> Mask:
    offset: Int64 = getattr(rows, "offset")  # noqa: B009 - every kind of row has it, the base has none
    return (offset > applied) & (offset <= cover.to)


def _not_holdout(rows: Columns) -> Mask:
    return np.asarray(getattr(rows, "arm") != Arm.HOLDOUT)  # noqa: B009 - as above


def _select(block: SignalBlock, keep: "Any") -> SignalBlock:
    parts = {}
    for name in ("interactions", "exposures", "rewards", "probes"):
        rows = getattr(block, name)
        if len(rows):
            mask = keep(rows)
            if not mask.all():
                parts[name] = take(rows, mask)
    return replace(block, **parts) if parts else block


def take(rows: C, mask: Mask) -> C:
    """The rows where the mask is true, ragged columns included."""
    out: dict[str, npt.NDArray[Any]] = {}
    for f in fields(rows):
        column = getattr(rows, f.name)
        if f.name in _PER_ROW:
            length = np.diff(column)
            inner = np.repeat(mask, length)
            out[f.name] = np.concatenate([[0], np.cumsum(length[mask])]).astype(column.dtype)
            for ragged in _PER_ROW[f.name]:
                out[ragged] = getattr(rows, ragged)[inner]
        elif f.name not in out:
            out[f.name] = column[mask] if len(column) == len(mask) else column
    return type(rows)(**out)


def _with_slots(rows: C, slots: Int32) -> C:
    if not len(rows):
        return rows
    names = [n for n in ("item", "ctx_item", "cand_item") if n in rows.__dataclass_fields__]
    return replace(rows, **{n: slots[getattr(rows, n)] for n in names})


def _order_of_use(
    interactions: tuple[Int64, Int32, Int32, Int32],
    exposures: tuple[Int64, Int32],
    rewards: tuple[Int64, Int32],
    slots: Int32,
) -> Iterable[int]:
    order = np.zeros(len(slots), np.int32)
    n = _uses(*interactions, *exposures, *rewards, slots == 0, order)
    return [int(i) for i in order[:n]]


@kernel
def _uses(
    a_offset: Int64,
    ctx_start: Int32,
    ctx_item: Int32,
    a_item: Int32,
    b_offset: Int64,
    b_item: Int32,
    c_offset: Int64,
    c_item: Int32,
    wanted: Mask,
    order: Int32,
) -> int:
    """Indices of wanted items in the order of the events that use them; returns how many."""
    n = a = b = c = 0
    end = np.int64(9223372036854775807)
    while a < len(a_offset) or b < len(b_offset) or c < len(c_offset):
        x = a_offset[a] if a < len(a_offset) else end
        y = b_offset[b] if b < len(b_offset) else end
        z = c_offset[c] if c < len(c_offset) else end
        if x <= y and x <= z:
            for j in range(ctx_start[a + 1] - 1, ctx_start[a] - 1, -1):
                if wanted[ctx_item[j]]:
                    wanted[ctx_item[j]] = False
                    order[n] = ctx_item[j]
                    n += 1
            item = a_item[a]
            a += 1
        elif y <= z:
            item = b_item[b]
            b += 1
        else:
            item = c_item[c]
            c += 1
        if wanted[item]:
            wanted[item] = False
            order[n] = item
            n += 1
    return n
