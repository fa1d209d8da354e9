"""Item-to-item transitions: who came after (and before) whom, at several reaches in time at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.components.base import Queries, ban
from models.components.bucket_sort import ONE, ZERO
from models.components.minifloat import UInt16, decode
from models.components.neighbours import SLACK, NeighbourPool, Pool, fade, heaviest_of, make, place_of, put
from models.components.selecting import BUCKETS, best_first, bucket, clear, key_of, limit_of
from models.fold import Lent, Rows
from models.jit import brief_kernel, fast_kernel, kernel
from schemas.signals import Float32, Float64, Int32, Int64, UInt8, UInt64
from schemas.snapshots import checksum, pack, unpack

WINDOW: Final = 50
SHRINK: Final = 5.0
RARE: Final = 0.2
FULL: Final = 4096.0
"""A row with a weight above this forgets a sixteenth: what is new keeps counting."""
KEEP: Final = 15 / 16
LOG_SCALE: Final = 1000.0
"""Scores far below one in so many differ little in their logarithm."""


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
WIDTH: Final = len(REACHES)
"""Known to the compiler, which unrolls the loops over the reaches."""


class Transitions:
    """Distance- and time-weighted pair counts in sparse rows.

    ``score(t) = sum_s read(s) * weight(s, t) / ((out(s) + 5)^0.5 * (count(t) + 5)^0.2)`` over the
    recent items ``s``, for each reach.  Rows are complete while an item has at most 768 neighbours.

    A row one of whose weights passes 4,096 forgets a sixteenth of everything, ``out`` included: what is new
    keeps counting after any number of events.

    Extras: the logarithm of each score, 0 for what is not reached: unlike the score on the scale of its
    own list it also tells a strong list from a weak one.
    """

    VERSION = 2
    name = "transitions"

    def __init__(self) -> None:
        self.columns = tuple(r.name for r in REACHES)
        self.extras = tuple(f"{r.name}_log" for r in REACHES)
        self.store = _steps([r.store for r in REACHES], [r.store_window for r in REACHES])
        self.read = _steps([r.read for r in REACHES], [r.read_window for r in REACHES])
        self.time = np.array([[r.back, r.tau, r.floor] for r in REACHES])
        self.pool = NeighbourPool(WIDTH)
        self.pool.rows.declare("out", np.float64, (WIDTH,))
        self.pool.rows.declare("count", np.float64)
        self.pool.rows.declare("norm", np.float32, fill=SHRINK**-RARE)
        self.high = 0
        self._place = np.zeros(64, np.int32)
        self._memo: _Memo | None = None

    def learn(self, rows: Rows) -> None:
        """Count pairs."""
        x = rows.interactions
        n, at = len(x.item), 0
        while at < n:
            self.pool.reserve(rows.n_items)
            r = self.pool.rows
            at = _learn(
                at,
                (x.item, x.weight, x.ctx_start, x.ctx_item, x.ctx_gap, x.ctx_kind),
                self.store,
                self.time,
                self.pool.arrays(),
                (r["out"], r["count"], r["norm"]),
            )
        self.high = 1 + max(self.high - 1, int(x.item.max(initial=0)), int(x.ctx_item.max(initial=0)))

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """Items that follow the recent ones most."""
        n = len(queries)
        items = np.zeros((n, WIDTH, k), np.int32)
        values = np.zeros((n, WIDTH, k), np.float32)
        self.pool.rows.reserve(queries.n_items)
        memo = self._reach(queries)
        stamp = queries.marks.take(n, queries.n_items)
        _top(
            (memo.start, memo.item, memo.value, memo.value.view(np.int32)),
            (queries.ban_start, queries.ban_item),
            queries.marks.stamp,
            stamp,
            items,
            values,
        )
        return items, values

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:
        """Scores of given items, and their logarithms."""
        out = np.zeros((len(item), 2 * WIDTH), np.float32)
        self.pool.rows.reserve(queries.n_items)
        memo = self._reach(queries)
        _gather(memo.start, memo.item, memo.value, start, item, self._scratch(queries.n_items), out)
        return out

    def _scratch(self, n_items: int) -> Int32:
        """Zeros, one per item, which kernels leave as zeros: none are made per batch."""
        if len(self._place) < n_items:
            self._place = np.zeros(max(n_items, 2 * len(self._place)), np.int32)
        return self._place

    def _reach(self, queries: Queries) -> "_Memo":
        """Everything that the recent items reach, per person; kept for the second call."""
        if self._memo is not None and self._memo.queries is queries:
            return self._memo
        r, e = self.pool.rows, self.pool.entries
        bound = _bound(queries.start, queries.item, r["used"], queries.n_items)
        start = np.zeros(len(queries) + 1, np.int64)
        item = np.empty(bound, np.int32)
        value = np.empty((bound + 1, WIDTH), np.float32)
        _accumulate(
            (queries.start, queries.item, queries.gap, queries.kind),
            self.read,
            self.time,
            (r["begin"], r["used"], e["id"], e["weight"]),
            (r["out"], r["norm"]),
            self._scratch(queries.n_items),
            (start, item, value),
        )
        self._memo = _Memo(queries, start, item, value)
        return self._memo

    def neighbours(self, item: int) -> tuple[Int32, Float32]:
        """The row of one item: neighbours and weights."""
        r, e = self.pool.rows, self.pool.entries
        begin, used = int(r["begin"][item]), int(r["used"][item])
        weights = np.empty((used, WIDTH), np.float32)
        _decoded(e["weight"][begin : begin + used], weights)
        return e["id"][begin : begin + used], weights

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
        self.pool.rows.reserve(1 + max(int(target.max(initial=0)), int(item.max(initial=0))))
        pool = (r["begin"], r["used"], e["id"], e["weight"])
        out = np.zeros((len(target), WINDOW))
        _shares_of(start, item, gap, people, target, self.read, self.time, pool, r["out"], out)
        return out

    def lend(self, n_items: int) -> Lent:
        """All rows."""
        return Lent(self.pool.export(n_items), {"high": self.high})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave."""
        self.pool.adopt(lent.arrays)
        self.high = lent.values["high"]
        self._memo = None

    def snapshot(self) -> bytes:
        """The same, up to the highest slot that was seen."""
        return pack(self.name, self.VERSION, *self.lend(self.high))

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        self.adopt(Lent(*unpack(data, self.name, self.VERSION)))

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
def _decoded(codes: UInt16, out: Float32) -> None:
    for p in range(len(codes)):
        for m in range(codes.shape[1]):
            out[p, m] = decode(codes[p, m])


@kernel
def _learn(  # noqa: C901 - lookups stand here: handing the pool to another kernel doubles their cost
    at: int,
    x: tuple[Int32, Float32, Int32, Int32, Float32, UInt8],
    store: Float64,
    time: Float64,
    pool: Pool,
    masses: tuple[Float64, Float64, Float32],
) -> int:
    """Learn rows from ``at`` on while the pool has room; returns the first row not learned."""
    item, weight, ctx_start, ctx_item, ctx_gap, ctx_kind = x
    begin, _, used, ids, codes, _, top, random = pool
    out, count, norm = masses
    pair = np.zeros(store.shape[0])
    for r in range(at, len(item)):
        if top[0] + SLACK > len(ids):
            return r
        target = item[r]
        if target == 0 or weight[r] <= 0:
            continue
        count[target] += weight[r]
        norm[target] = (count[target] + SHRINK) ** -RARE
        first = ctx_start[r]
        for j in range(min(ctx_start[r + 1] - first, WINDOW)):
            source = ctx_item[first + j]
            if _says_nothing(source, target, ctx_kind[first + j]):
                continue
            for m in range(len(pair)):
                pair[m] = weight[r] * store[m, j] * near(ctx_gap[first + j], time[m, 1], time[m, 2])
                out[source, m] += pair[m]
            p = place_of(ids, begin[source], used[source], target)
            if p < 0:
                p = make(pool, source, target)
            heaviest = put(codes, p, pair, random)
            for m in range(len(pair)):
                pair[m] *= time[m, 0]
                out[target, m] += pair[m]
            q = place_of(ids, begin[target], used[target], source)
            if q < 0:
                q = make(pool, target, source)
            if max(heaviest, put(codes, q, pair, random)) > FULL:
                _forget(source, pool, out)
                _forget(target, pool, out)
    return len(item)


@kernel
def _says_nothing(source: int, target: int, kind: int) -> bool:
    """Whether a pair is none: an unknown item, the item itself, or one that the person disliked."""
    return source == 0 or source == target or ignored(kind)  # noqa: PLR1714 - kernels know no mixed tuples


@kernel
def _forget(row: int, pool: Pool, out: Float64) -> None:
    """Shrink a row that is full by a sixteenth."""
    if heaviest_of(pool, row) > FULL:
        fade(pool, row, KEEP)
        out[row] *= KEEP


@brief_kernel
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
    pool: tuple[Int64, Int32, Int32, UInt16],
    masses: tuple[Float64, Float32],
    place: Int32,
    reached: tuple[Int64, Int32, Float32],
) -> None:
    ctx_start, ctx_item, ctx_gap, ctx_kind = x
    start, item, value = reached
    out, norm = masses
    mine = np.empty(WIDTH, np.float32)
    n = 0
    value[0, :] = 0.0
    for u in range(len(start) - 1):
        for j in range(ctx_start[u], min(ctx_start[u + 1], ctx_start[u] + WINDOW)):
            source = ctx_item[j]
            if source == 0 or pool[1][source] == 0 or ignored(ctx_kind[j]):
                continue
            for m in range(WIDTH):
                weight = read[m, j - ctx_start[u]] * near(ctx_gap[j], time[m, 1], time[m, 2])
                mine[m] = weight / np.sqrt(out[source, m] + SHRINK)
            n = _spread(source, mine, pool, place, item, value, n)
        for p in range(start[u], n):
            scale = norm[item[p]]
            place[item[p]] = 0
            for m in range(WIDTH):
                value[p, m] *= scale
        start[u + 1] = n


@fast_kernel
def _spread(
    source: int,
    mine: Float32,
    pool: tuple[Int64, Int32, Int32, UInt16],
    place: Int32,
    item: Int32,
    value: Float32,
    n: int,
) -> int:
    """Add one source's row to what is reached; ``place`` holds one more than a target's index.

    Indices are unsigned: where a compiler cannot see that one is not negative, it counts from the end of
    the array for those that are, which was more than half of the work here.
    """
    begin, used, ids, codes = pool
    first, next_one = np.uint64(begin[source]), np.uint64(n)
    for p in range(first, first + np.uint64(used[source])):
        target = np.uint32(ids[p])
        seat = np.uint64(place[target])
        at = next_one if seat == ZERO else seat - ONE
        next_one += ONE if seat == ZERO else ZERO
        item[at] = target
        place[target] = at + ONE
        for m in range(WIDTH):
            value[at, m] += mine[m] * decode(codes[p, m])
        for m in range(WIDTH):
            value[next_one, m] = 0.0
    return int(next_one)


@kernel
def _top(
    reached: tuple[Int64, Int32, Float32, Int32],
    bans: tuple[Int32, Int32],
    marks: Int32,
    stamp: int,
    items: Int32,
    values: Float32,
) -> None:
    start, item, value, bits = reached
    histograms, most = np.empty((WIDTH, BUCKETS), np.int32), 1
    for u in range(len(start) - 1):
        most = max(most, start[u + 1] - start[u] + 1)
    keys, spare = np.empty((WIDTH, most), np.uint64), np.empty(most, np.uint64)
    size, limit = np.empty(WIDTH, np.int64), np.empty(WIDTH, np.int32)
    for u in range(len(start) - 1):
        a, b = start[u], start[u + 1]
        ban(marks, stamp + u, bans[1], bans[0][u], bans[0][u + 1])
        _limits(item[a:b], bits[a:b], marks, stamp + u, items.shape[2], histograms, limit)
        _collect(item[a:b], value[a:b], bits[a:b], marks, stamp + u, limit, keys, size)
        for m in range(WIDTH):
            best_first(keys[m, : size[m]], (histograms[m], spare), items[u, m], values[u, m])


@kernel
def _limits(
    item: Int32, bits: Int32, marks: Int32, banned: int, k: int, histograms: Int32, limit: Int32
) -> None:
    """How good an item must be to be among the ``k`` best of each reach."""
    clear(histograms)
    for p in range(len(item)):
        if marks[np.uint32(item[p])] < banned:
            for m in range(WIDTH):
                histograms[m, np.uint64(bucket(bits[p, m]))] += 1
    for m in range(WIDTH):
        limit[m] = limit_of(histograms[m], k)


@kernel
def _collect(
    item: Int32,
    value: Float32,
    bits: Int32,
    marks: Int32,
    banned: int,
    limit: Int32,
    keys: UInt64,
    size: Int64,
) -> None:
    """Keys of the items that are good enough, per reach."""
    size[:] = 0
    for p in range(len(item)):
        if marks[np.uint32(item[p])] < banned:
            for m in range(WIDTH):
                if bits[p, m] >= limit[m]:
                    keys[m, size[m]] = key_of(value[p, m], item[p])
                    size[m] += 1


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
                for m in range(WIDTH):
                    out[p - 1, m] = reach_value[q, m]
                    out[p - 1, WIDTH + m] = np.log(
                        np.float32(1.0) + np.float32(LOG_SCALE) * reach_value[q, m]
                    )
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
    pool: tuple[Int64, Int32, Int32, UInt16],
    out_mass: Float64,
    out: Float64,
) -> None:
    weight, root = np.empty((WINDOW, WIDTH)), np.empty((WINDOW, WIDTH))
    each = np.empty((WINDOW, WIDTH))
    for n in range(len(target)):
        a = start[people[n]]
        b = min(start[people[n] + 1], a + WINDOW)
        if n == 0 or people[n] != people[n - 1]:
            _weights(item[a:b], gap[a:b], read, time, out_mass, weight, root)
        _shares(item[a:b], target[n], pool, weight, root, each, out[n])


@kernel
def _weights(
    item: Int32, gap: Float32, read: Float64, time: Float64, out_mass: Float64, weight: Float64, root: Float64
) -> None:
    """By what a pair's weight is multiplied and divided, for each recent item and reach."""
    for j in range(len(item)):
        for m in range(WIDTH):
            weight[j, m] = read[m, j] * near(gap[j], time[m, 1], time[m, 2])
            root[j, m] = np.sqrt(out_mass[item[j], m] + SHRINK)


@kernel
def _shares(
    item: Int32,
    target: int,
    pool: tuple[Int64, Int32, Int32, UInt16],
    weight: Float64,
    root: Float64,
    each: Float64,
    out: Float64,
) -> None:
    begin, used, ids, codes = pool
    total = np.zeros(WIDTH)
    for j in range(len(item)):
        source = item[j]
        each[j, :] = 0.0
        if source == 0 or used[source] == 0 or target == 0:
            continue
        at = place_of(ids, begin[source], used[source], target)
        if at < 0:
            continue
        for m in range(WIDTH):
            each[j, m] = weight[j, m] * decode(codes[at, m]) / root[j, m]
            total[m] += each[j, m]
    for j in range(len(item)):
        out[j] = 0.0
        for m in range(WIDTH):
            if total[m] > 0.0:
                out[j] += each[j, m] / total[m]
