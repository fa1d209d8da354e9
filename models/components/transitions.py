"""Item-to-item transitions: who came after (and before) whom, at several reaches in time at once."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.components.base import Queries, ban, offer, unheap
from models.components.neighbours import SLACK, NeighbourPool, entry, find, place_of
from models.fold import Rows
from models.jit import fast_kernel, kernel
from schemas.signals import Float32, Float64, Int32, Int64, UInt8
from schemas.snapshots import checksum, pack, unpack

WINDOW: Final = 50
FULL: Final = 4096.0
"""A row with a weight above this forgets a sixteenth: to larger ones float32 could not add what is small."""
KEEP: Final = 15 / 16
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reach:
    """One weighting of pairs.

    Parameters
    ----------
    store, read
        Weight per step of distance in the history, when a pair is learned and when it is used.
    back
        Weight of the reverse pair.
    tau, floor
        A pair ``gap`` seconds apart counts ``floor + (1 - floor) * exp(-gap / tau)``.
    store_window, read_window
        Steps of history that are looked at.
    """

    name: str
    store: float
    read: float
    back: float
    tau: float
    floor: float
    store_window: int = WINDOW
    read_window: int = WINDOW


REACHES: Final = (
    Reach("transitions", 0.9, 0.85, 0.7, 600.0, 0.3),
    Reach("transitions_minute", 0.97, 0.95, 1.0, 60.0, 0.1),
    Reach("transitions_hour", 0.9, 0.85, 0.7, 3600.0, 0.05),
    Reach("transitions_next", 0.5, 0.5, 0.2, 1e12, 1.0, store_window=3, read_window=2),
)


class Transitions:
    """Distance- and time-weighted pair counts in sparse rows.

    ``score(t) = sum_s read(s) * weight(s, t) / ((out(s) + 5)^0.5 * (count(t) + 5)^0.2)`` over the
    recent items ``s``, for each reach.  Rows are exact while an item has at most 768 neighbours.

    A row one of whose weights passes 4,096 forgets a sixteenth of everything, ``out`` included: what is new
    keeps counting after any number of events.
    """

    VERSION = 1
    name = "transitions"
    extras: tuple[str, ...] = ()

    def __init__(self, reaches: tuple[Reach, ...] = REACHES) -> None:
        self.columns = tuple(r.name for r in reaches)
        self.width = len(reaches)
        self.store = _steps([r.store for r in reaches], [r.store_window for r in reaches])
        self.read = _steps([r.read for r in reaches], [r.read_window for r in reaches])
        self.time = np.array([[r.back, r.tau, r.floor] for r in reaches])
        self.pool = NeighbourPool(self.width)
        self.pool.rows.declare("out", np.float64, (self.width,))
        self.pool.rows.declare("count", np.float64)
        self.high = 0
        self._memo: _Memo | None = None

    def learn(self, rows: Rows) -> None:
        """Count pairs."""
        x = rows.interactions
        n, at = len(x.item), 0
        while at < n:
            self.pool.reserve(rows.n_items)
            r, e = self.pool.rows, self.pool.entries
            at = _learn(
                at,
                (x.item, x.weight, x.ctx_start, x.ctx_item, x.ctx_gap, x.ctx_kind),
                self.store,
                self.time,
                (r["begin"], r["places"], r["used"], e["id"], e["weight"], self.pool.free, self.pool.top),
                r["out"],
                r["count"],
            )
        self.high = 1 + max(self.high - 1, int(x.item.max(initial=0)), int(x.ctx_item.max(initial=0)))

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """Items that follow the recent ones most."""
        n = len(queries)
        items = np.zeros((n, self.width, k), np.int32)
        values = np.zeros((n, self.width, k), np.float32)
        self.pool.reserve(queries.n_items)
        memo = self._reach(queries)
        stamp = queries.marks.take(n, queries.n_items)
        _top(
            (memo.start, memo.item, memo.value),
            (queries.ban_start, queries.ban_item),
            queries.marks.stamp,
            stamp,
            items,
            values,
        )
        return items, values

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:
        """Scores of given items."""
        out = np.zeros((len(item), self.width), np.float32)
        self.pool.reserve(queries.n_items)
        memo = self._reach(queries)
        place = np.zeros(queries.n_items, np.int32)
        _gather(memo.start, memo.item, memo.value, start, item, place, out)
        return out

    def _reach(self, queries: Queries) -> "_Memo":
        """Everything that the recent items reach, per person; kept for the second call."""
        if self._memo is not None and self._memo.queries is queries:
            return self._memo
        r, e = self.pool.rows, self.pool.entries
        args = (queries.start, queries.item, queries.gap, queries.kind)
        bound = _bound(queries.start, queries.item, r["used"], queries.n_items)
        start = np.zeros(len(queries) + 1, np.int64)
        item = np.empty(bound, np.int32)
        value = np.empty((bound, self.width), np.float32)
        scratch = np.zeros((queries.n_items, self.width), np.float32)
        _accumulate(
            args,
            self.read,
            self.time,
            (r["begin"], r["places"], e["id"], e["weight"]),
            r["out"],
            r["count"],
            scratch,
            (start, item, value),
        )
        self._memo = _Memo(queries, start, item, value)
        return self._memo

    def neighbours(self, item: int) -> tuple[Int32, Float32]:
        """The row of one item: neighbours and weights."""
        r, e = self.pool.rows, self.pool.entries
        begin, places = int(r["begin"][item]), int(r["places"][item])
        ids, weights = e["id"][begin : begin + places], e["weight"][begin : begin + places]
        return ids[ids > 0], weights[ids > 0]

    def shares(self, start: Int32, item: Int32, gap: Float32, people: Int32, target: Int32) -> Float64:
        """What each recent item contributes to a target's scores, each reach counting alike.

        Parameters
        ----------
        start, item, gap
            Ragged per person: fold slots newest first, and seconds ago.
        people, target
            Whose history is asked about which fold slot, shape (m,).

        Returns
        -------
        ndarray
            Of the newest items of each history, shape (m, WINDOW).
        """
        r, e = self.pool.rows, self.pool.entries
        self.pool.reserve(1 + max(int(target.max(initial=0)), int(item.max(initial=0))))
        pool = (r["begin"], r["places"], e["id"], e["weight"])
        out = np.zeros((len(target), WINDOW))
        _shares_of(start, item, gap, people, target, self.read, self.time, pool, r["out"], out)
        return out

    def snapshot(self) -> bytes:
        """All rows."""
        return pack(self.name, self.VERSION, self._export(), {"high": self.high})

    def _export(self) -> dict[str, npt.NDArray[Any]]:
        return self.pool.export(self.high)

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        arrays, meta = unpack(data, self.name, self.VERSION)
        self.pool.load(arrays)
        self.high = meta["high"]
        self._memo = None

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@dataclass(frozen=True, slots=True)
class _Memo:
    queries: Queries
    start: Int64
    item: Int32
    value: Float32


def _steps(decay: list[float], window: list[int]) -> Float64:
    steps = np.arange(WINDOW)
    return np.array([[d**s if s < w else 0.0 for s in steps] for d, w in zip(decay, window, strict=True)])


@kernel
def ignored(kind: int) -> bool:
    """Whether a history entry says nothing in favour of its item."""
    return kind in (4, 5, 9)


@kernel
def near(gap: float, tau: float, floor: float) -> float:
    """How much a pair ``gap`` seconds apart counts."""
    if floor == 1.0:
        return 1.0
    return float(floor + (1.0 - floor) * np.exp(-gap / tau))


@kernel
def _learn(
    at: int,
    x: tuple[Int32, Float32, Int32, Int32, Float32, UInt8],
    store: Float64,
    time: Float64,
    pool: tuple[Int64, Int32, Int32, Int32, Float32, Int64, Int64],
    out: Float64,
    count: Float64,
) -> int:
    """Learn rows from ``at`` on while the pool has room; returns the first row not learned."""
    item, weight, ctx_start, ctx_item, ctx_gap, ctx_kind = x
    begin, places, used, ids, weights, free, top = pool
    width = store.shape[0]
    for r in range(at, len(item)):
        if top[0] + SLACK > len(ids):
            return r
        target = item[r]
        if target == 0 or weight[r] <= 0:
            continue
        count[target] += weight[r]
        first = ctx_start[r]
        for j in range(min(ctx_start[r + 1] - first, WINDOW)):
            source = ctx_item[first + j]
            if _says_nothing(source, target, ctx_kind[first + j]):
                continue
            p = find(ids, begin[source], places[source], target)
            if p < 0:
                p = entry(source, target, begin, places, used, ids, weights, free, top)
            q = find(ids, begin[target], places[target], source)
            if q < 0:
                q = entry(target, source, begin, places, used, ids, weights, free, top)
            heaviest = np.float32(0.0)
            for m in range(width):
                pair = weight[r] * store[m, j] * near(ctx_gap[first + j], time[m, 1], time[m, 2])
                weights[p, m] += pair
                out[source, m] += pair
                pair *= time[m, 0]
                weights[q, m] += pair
                out[target, m] += pair
                heaviest = max(heaviest, weights[p, m], weights[q, m])
            if heaviest > FULL:
                _forget(source, begin, places, weights, out)
                _forget(target, begin, places, weights, out)
    return len(item)


@kernel
def _says_nothing(source: int, target: int, kind: int) -> bool:
    """Whether a pair is none: an unknown item, the item itself, or one that the person disliked."""
    return source == 0 or source == target or ignored(kind)  # noqa: PLR1714 - kernels know no mixed tuples


@kernel
def _forget(row: int, begin: Int64, places: Int32, weights: Float32, out: Float64) -> None:
    """Shrink a row that is full by a sixteenth."""
    heaviest = np.float32(0.0)
    for p in range(begin[row], begin[row] + places[row]):
        for m in range(out.shape[1]):
            heaviest = max(heaviest, weights[p, m])
    if heaviest > FULL:
        weights[begin[row] : begin[row] + places[row]] *= np.float32(KEEP)
        out[row] *= KEEP


@kernel
def _bound(start: Int32, item: Int32, used: Int32, n_items: int) -> int:
    """How many items a batch can reach at most."""
    total = 0
    for u in range(len(start) - 1):
        reached = 0
        for j in range(start[u], min(start[u + 1], start[u] + WINDOW)):
            reached += used[item[j]]
        total += min(reached, n_items)
    return total


@fast_kernel
def _accumulate(
    x: tuple[Int32, Int32, Float32, UInt8],
    read: Float64,
    time: Float64,
    pool: tuple[Int64, Int32, Int32, Float32],
    out: Float64,
    count: Float64,
    scratch: Float32,
    reached: tuple[Int64, Int32, Float32],
) -> None:
    ctx_start, ctx_item, ctx_gap, ctx_kind = x
    start, item, value = reached
    width = read.shape[0]
    mine = np.empty(width, np.float32)
    touched = np.zeros(scratch.shape[0], np.bool_)
    n = 0
    for u in range(len(start) - 1):
        for j in range(ctx_start[u], min(ctx_start[u + 1], ctx_start[u] + WINDOW)):
            source = ctx_item[j]
            if source == 0 or pool[0][source] < 0 or ignored(ctx_kind[j]):
                continue
            for m in range(width):
                weight = read[m, j - ctx_start[u]] * near(ctx_gap[j], time[m, 1], time[m, 2])
                mine[m] = weight / np.sqrt(out[source, m] + 5.0)
            n = _spread(source, mine, pool, scratch, touched, item, n)
        for p in range(start[u], n):
            target = item[p]
            norm = (count[target] + 5.0) ** -0.2
            for m in range(width):
                value[p, m] = scratch[target, m] * norm
                scratch[target, m] = 0.0
            touched[target] = False
        start[u + 1] = n


@fast_kernel
def _spread(
    source: int,
    mine: Float32,
    pool: tuple[Int64, Int32, Int32, Float32],
    scratch: Float32,
    touched: Bool,
    item: Int32,
    n: int,
) -> int:
    """Add one source's row to the scratch; new targets join ``item``."""
    begin, places, ids, weights = pool
    for p in range(begin[source], begin[source] + places[source]):
        target = ids[p]
        if target == 0:
            continue
        if not touched[target]:
            touched[target] = True
            item[n] = target
            n += 1
        for m in range(len(mine)):
            scratch[target, m] += mine[m] * weights[p, m]
    return n


@kernel
def _top(
    reached: tuple[Int64, Int32, Float32],
    bans: tuple[Int32, Int32],
    marks: Int32,
    stamp: int,
    items: Int32,
    values: Float32,
) -> None:
    start, item, value = reached
    for u in range(len(start) - 1):
        ban(marks, stamp + u, bans[1], bans[0][u], bans[0][u + 1])
        for m in range(items.shape[1]):
            size = 0
            best_values, best_items = values[u, m], items[u, m]
            k = len(best_items)
            for p in range(start[u], start[u + 1]):
                v = value[p, m]
                if v <= 0.0 or (size == k and v < best_values[0]) or marks[item[p]] >= stamp + u:
                    continue
                size = offer(best_values, best_items, size, v, item[p])
            unheap(best_values, best_items, size)


@kernel
def _gather(
    reach_start: Int64,
    reach_item: Int32,
    reach_value: Float32,
    start: Int32,
    item: Int32,
    place: Int32,
    out: Float32,
) -> None:
    for u in range(len(start) - 1):
        for p in range(start[u], start[u + 1]):
            place[item[p]] = p + 1
        place[0] = 0
        for q in range(reach_start[u], reach_start[u + 1]):
            p = place[reach_item[q]]
            if p > 0:
                for m in range(out.shape[1]):
                    out[p - 1, m] = reach_value[q, m]
        for p in range(start[u], start[u + 1]):
            place[item[p]] = 0


@kernel
def _shares_of(
    start: Int32,
    item: Int32,
    gap: Float32,
    people: Int32,
    target: Int32,
    read: Float64,
    time: Float64,
    pool: tuple[Int64, Int32, Int32, Float32],
    out_mass: Float64,
    out: Float64,
) -> None:
    for n in range(len(target)):
        a = start[people[n]]
        b = min(start[people[n] + 1], a + out.shape[1])
        _shares(item[a:b], gap[a:b], target[n], read, time, pool, out_mass, out[n])


@kernel
def _shares(
    item: Int32,
    gap: Float32,
    target: int,
    read: Float64,
    time: Float64,
    pool: tuple[Int64, Int32, Int32, Float32],
    out_mass: Float64,
    out: Float64,
) -> None:
    begin, places, ids, weights = pool
    width = read.shape[0]
    total = np.zeros(width)
    each = np.zeros((len(item), width))
    for j in range(min(len(item), WINDOW)):
        source = item[j]
        if source == 0 or begin[source] < 0 or target == 0:
            continue
        at = place_of(ids, begin[source], places[source], target)
        if ids[at] != target:
            continue
        for m in range(width):
            weight = read[m, j] * near(gap[j], time[m, 1], time[m, 2])
            each[j, m] = weight * weights[at, m] / np.sqrt(out_mass[source, m] + 5.0)
            total[m] += each[j, m]
    for j in range(len(item)):
        out[j] = 0.0
        for m in range(width):
            if total[m] > 0.0:
                out[j] += each[j, m] / total[m]
