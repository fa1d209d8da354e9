"""A person's own items: how likely each is to come again, by how long ago and how often it came."""

from typing import Final

import numpy as np

from models.arena import Arena
from models.components.base import Queries, ban
from models.components.selecting import select
from models.components.transitions import ignored
from models.fold import Lent, Rows
from models.jit import brief_kernel, kernel
from schemas.signals import Float32, Float64, Int32, UInt8
from schemas.snapshots import checksum, pack, unpack

BINS: Final = 32
COUNTS: Final = 4
WINDOW: Final = 100
FLOOR: Final = -12.0
HALF_LIFE: Final = 2000.0
"""Events of the share of repetitions."""
RARE: Final = 0.01
ENOUGH: Final = 200.0
"""Events that must be seen before repetition is called rare."""


class Repeats:
    """Log hazard of repetition.

    For every row, every distinct item of the person's recent history is a trial, a hit if it is the
    row's item.  Rates are kept by (log2 of the seconds since its last time, how often it stands in the
    history) and multiplied by the item's own ratio of hits to expected hits.  Where nothing ever comes
    twice the rates tend to nothing by themselves; groceries live on them.

    Extras: whether the item is the person's own, and its log hazard (scaled) if so.
    """

    VERSION = 2
    name = "repeats"
    columns: tuple[str, ...] = ("repeats",)
    extras: tuple[str, ...] = ("own", "own_hazard")

    def __init__(self) -> None:
        self.trials = np.zeros((BINS, COUNTS))
        self.hits = np.zeros((BINS, COUNTS))
        self.share = np.zeros(2)
        self.arena = Arena()
        self.arena.declare("hits", np.float64)
        self.arena.declare("expected", np.float64)
        self.arena.declare("seen", np.int64)
        self.high = 0

    def learn(self, rows: Rows) -> None:
        """Count trials and hits."""
        x, a = rows.interactions, self.arena
        a.reserve(rows.n_items)
        _learn(
            (x.item, x.weight, x.ctx_start, x.ctx_item, x.ctx_gap, x.ctx_kind),
            (self.trials, self.hits),
            (a["hits"], a["expected"]),
            (x.repeat, self.share),
            a["seen"],
        )
        self.high = 1 + max(self.high - 1, int(x.ctx_item.max(initial=0)))

    @property
    def rare(self) -> bool:
        """Whether people with a history hardly ever take an item again."""
        repeated, all_events = self.share
        return bool(all_events >= ENOUGH and repeated < RARE * all_events)

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """The person's own items, by hazard."""
        n = len(queries)
        self.arena.reserve(queries.n_items)
        start, item, value = self._own(queries)
        items, values = np.zeros((n, 1, k), np.int32), np.zeros((n, 1, k), np.float32)
        stamp = queries.marks.take(n, queries.n_items)
        bans = (queries.ban_start, queries.ban_item)
        _top((start, item, value), bans, queries.marks.stamp, stamp, items, values)
        return items, values

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:
        """Log hazards; ``FLOOR`` for what is not the person's own."""
        self.arena.reserve(queries.n_items)
        out = np.zeros((len(item), 3), np.float32)
        place = np.zeros(queries.n_items, np.int32)
        _gather(self._own(queries), start, item, place, out)
        return out

    def _own(self, queries: Queries) -> tuple[Int32, Int32, Float32]:
        start = np.zeros(len(queries) + 1, np.int32)
        item, value = np.empty(len(queries.item), np.int32), np.empty(len(queries.item), np.float32)
        a = self.arena
        _hazards(
            (queries.start, queries.item, queries.gap, queries.kind),
            (self.trials, self.hits),
            (a["hits"], a["expected"]),
            np.zeros(queries.n_items, np.int32),
            (start, item, value),
        )
        return start, item, value

    def lend(self, n_items: int) -> Lent:
        """Rates by bin and by item."""
        own = {"bin_trials": self.trials, "bin_hits": self.hits, "share": self.share}
        return Lent({**self.arena.export(n_items), **own}, {"high": self.high})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave."""
        arrays = lent.arrays
        self.trials, self.hits, self.share = arrays["bin_trials"], arrays["bin_hits"], arrays["share"]
        self.arena.adopt(arrays)
        self.high = lent.values["high"]

    def snapshot(self) -> bytes:
        """The same, up to the highest slot of any history."""
        return pack(self.name, self.VERSION, *self.lend(self.high))

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        self.adopt(Lent(*unpack(data, self.name, self.VERSION)))

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@kernel
def bin_of(gap: float) -> int:
    """Of the seconds since; always one that there is: kernels check no bounds."""
    if not gap > 0.0:
        return 0
    return int(min(np.log2(1.0 + gap), BINS - 1.0))


@kernel
def _rate(trials: Float64, hits: Float64, b: int, c: int) -> float:
    """Smoothed hit rate; sparse bins lean on the prior of one in a thousand."""
    return float((hits[b, c] + 0.05) / (trials[b, c] + 50.0))


@kernel
def _learn(
    x: tuple[Int32, Float32, Int32, Int32, Float32, UInt8],
    bins: tuple[Float64, Float64],
    ratio: tuple[Float64, Float64],
    own_again: tuple[UInt8, Float64],
    seen: Int32,
) -> None:
    """``own_again``: which rows are of own items, and decayed numbers of those, and of all after a first."""
    item, weight, ctx_start, ctx_item, ctx_gap, ctx_kind = x
    trials, hits = bins
    item_hits, item_expected = ratio
    repeat, share = own_again
    keep = 0.5 ** (1.0 / HALF_LIFE)
    for r in range(len(item)):
        if item[r] == 0 or weight[r] <= 0:
            continue
        first, end = ctx_start[r], min(ctx_start[r + 1], ctx_start[r] + WINDOW)
        if end > first:
            share[0] = keep * share[0] + (1.0 if repeat[r] else 0.0)
            share[1] = keep * share[1] + 1.0
        for j in range(first, end):
            if not ignored(ctx_kind[j]):
                seen[ctx_item[j]] += 1
        for j in range(first, end):
            own = ctx_item[j]
            if own == 0 or seen[own] == 0:
                seen[own] = 0
                continue
            b, c = bin_of(ctx_gap[j]), min(seen[own], COUNTS) - 1
            item_expected[own] += _rate(trials, hits, b, c)
            trials[b, c] += 1.0
            if own == item[r]:
                hits[b, c] += 1.0
                item_hits[own] += 1.0
            seen[own] = 0
        for j in range(first, end):
            seen[ctx_item[j]] = 0


@brief_kernel
def _hazards(
    x: tuple[Int32, Int32, Float32, UInt8],
    bins: tuple[Float64, Float64],
    ratio: tuple[Float64, Float64],
    seen: Int32,
    own: tuple[Int32, Int32, Float32],
) -> None:
    start, item, gap, kind = x
    own_start, own_item, own_value = own
    n = 0
    for u in range(len(start) - 1):
        for j in range(start[u], start[u + 1]):
            if not ignored(kind[j]):
                seen[item[j]] += 1
        for j in range(start[u], start[u + 1]):
            i = item[j]
            if i == 0 or seen[i] == 0:
                seen[i] = 0
                continue
            rate = _rate(bins[0], bins[1], bin_of(gap[j]), min(seen[i], COUNTS) - 1)
            seen[i] = 0
            own_item[n] = i
            own_value[n] = max(np.log(rate * (ratio[0][i] + 2.0) / (ratio[1][i] + 2.0)), FLOOR)
            n += 1
        own_start[u + 1] = n


@brief_kernel
def _top(
    own: tuple[Int32, Int32, Float32],
    bans: tuple[Int32, Int32],
    marks: Int32,
    stamp: int,
    items: Int32,
    values: Float32,
) -> None:
    start, item, value = own
    most = start[-1]
    found, score = np.empty(most, np.int32), np.empty(most, np.float32)
    histogram, keys = np.empty(256, np.int32), np.empty((2, most + 1), np.uint64)
    for u in range(len(start) - 1):
        ban(marks, stamp + u, bans[1], bans[0][u], bans[0][u + 1])
        n = 0
        for p in range(start[u], start[u + 1]):
            if marks[item[p]] < stamp + u:
                found[n] = item[p]
                score[n] = value[p]
                n += 1
        select(score[:n], found[:n], (histogram, keys), items[u, 0], values[u, 0])


@brief_kernel
def _gather(own: tuple[Int32, Int32, Float32], start: Int32, item: Int32, place: Int32, out: Float32) -> None:
    own_start, own_item, own_value = own
    for u in range(len(start) - 1):
        for p in range(start[u], start[u + 1]):
            place[item[p]] = p + 1
            out[p, 0] = FLOOR
        for q in range(own_start[u], own_start[u + 1]):
            p = place[own_item[q]]
            if p > 0:
                out[p - 1, 0] = own_value[q]
                out[p - 1, 1] = 1.0
                out[p - 1, 2] = (own_value[q] + 6.0) / 2.0
        for p in range(start[u], start[u + 1]):
            place[item[p]] = 0
