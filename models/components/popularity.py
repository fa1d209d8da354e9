"""Decayed popularity at several half-lives, with exact top lists kept up incrementally."""

from typing import Final

import numpy as np

from models.arena import Arena
from models.components.base import Queries, ban
from models.fold import Lent, Rows
from models.jit import brief_kernel, inner_kernel, kernel
from schemas.signals import Float32, Float64, Int32, Int64
from schemas.snapshots import checksum, pack, unpack

HALF_LIVES: Final = (200.0, 2_000.0, 30_000.0)
"""In events of the whole stream."""
SITUATIONS: Final = 5
SITUATION_HALF_LIFE: Final = 300.0
"""In events of the situation."""
LISTS: Final = len(HALF_LIVES) + SITUATIONS
COLUMNS: Final = len(HALF_LIVES) + 1
FRESH: Final = 0.998
"""Kept of the share of first events with every event: about the last 500 count."""
SESSION: Final = 1800.0
"""Seconds of silence after which a person starts a new session."""
TOP: Final = 1024


class Popularity:
    """Exponentially decayed counts.

    An item's mass at half-life ``h`` is kept as ``key = log2(mass) + n / h`` with ``n`` the stream's
    event number at its last event.  The key is what ranks (all masses decay alike), changes only when
    the item has an event, and grows linearly: nothing overflows after any number of events (an
    accumulator with growing weights in float32 did, after 128 half-lives).

    Notes
    -----
    Extras: log count, log events since the item's first and last event.  Rows of negative weight
    (dislike, hide) count as nothing here.
    """

    VERSION = 2
    name = "popularity"
    columns: tuple[str, ...] = ("popular_now", "popular", "popular_ever", "popular_here")
    extras: tuple[str, ...] = ("count", "item_age", "item_idle")

    def __init__(self) -> None:
        self.half = np.array([*HALF_LIVES, *[SITUATION_HALF_LIFE] * SITUATIONS])
        self.clock = np.zeros(2 + SITUATIONS, np.int64)
        self.fresh = np.zeros(2)
        self.arena = Arena()
        self.arena.declare("key", np.float64, (LISTS,), fill=-np.inf)
        self.arena.declare("place", np.int32, (LISTS,), fill=-1)
        self.arena.declare("count", np.float64)
        self.arena.declare("first", np.int64)
        self.arena.declare("last", np.int64)
        self.top = np.zeros((LISTS, TOP), np.int32)
        self.filled = np.zeros(LISTS, np.int32)

    def learn(self, rows: Rows) -> None:
        """Count."""
        self.arena.reserve(rows.n_items)
        x, a = rows.interactions, self.arena
        _learn(
            (x.item, x.weight, x.ctx_start, x.ctx_gap),
            (self.clock, self.fresh),
            self.half,
            (a["key"], a["place"], self.top, self.filled),
            (a["count"], a["first"], a["last"]),
        )

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """The most popular that are not banned."""
        self.arena.reserve(queries.n_items)
        shape = (len(queries), COLUMNS, k)
        items, values = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        stamp = queries.marks.take(len(queries), queries.n_items)
        _walk(
            (queries.start, queries.gap),
            (queries.ban_start, queries.ban_item),
            (queries.marks.stamp, stamp),
            (self.arena["key"], self.top, self.filled, self.offsets()),
            items,
            values,
        )
        return items, values

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:
        """Log2 masses now, and the extras."""
        self.arena.reserve(queries.n_items)
        a = self.arena
        out = np.empty((len(item), COLUMNS + len(self.extras)), np.float32)
        _scores(
            (queries.start, queries.gap),
            (start, item),
            (a["key"], self.offsets()),
            (a["count"], a["first"], a["last"]),
            self.clock[0],
            out,
        )
        return out

    def offsets(self) -> Float64:
        """What the keys must be lowered by to be log2 masses now."""
        clocks = np.concatenate([np.repeat(self.clock[:1], len(HALF_LIVES)), self.clock[2:]])
        return np.asarray(clocks / self.half)

    def novelty(self, n_items: int) -> float:
        """Log odds, as good as none at all to near certain, that the next event is of one given new item.

        Parameters
        ----------
        n_items
            Items that could come, known ones included.
        """
        share, known = float(self.fresh[0]), float(self.fresh[1])
        return float(np.log((share + 1e-4) / (max(n_items - 1 - known, 0.0) + 1.0)))

    def count(self) -> Float64:
        """Events per fold slot."""
        counts: Float64 = self.arena["count"]
        return counts

    def lend(self, n_items: int) -> Lent:
        """Keys, counts and top lists."""
        arrays = self.arena.export(n_items)
        arrays |= {"clock": self.clock, "fresh": self.fresh, "top": self.top, "filled": self.filled}
        return Lent(arrays, {})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave."""
        arrays = lent.arrays
        self.clock, self.fresh = arrays["clock"], arrays["fresh"]
        self.top, self.filled = arrays["top"], arrays["filled"]
        self.arena.adopt(arrays)

    def snapshot(self) -> bytes:
        """The same, up to the highest slot that has an event."""
        return pack(self.name, self.VERSION, self.lend(int(self.clock[1]) + 1).arrays)

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        self.adopt(Lent(*unpack(data, self.name, self.VERSION)))

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@kernel
def situation(first: int, end: int, gap: Float32) -> int:
    """Of a person with a history: a stranger, a newcomer, an acquaintance, back again, in the midst."""
    n = end - first
    if n == 0:
        return 0
    if n < 3:
        return 1
    if n < 10:
        return 2
    return 3 if gap[first] > SESSION else 4


@inner_kernel
def list_of(column: int, here: int) -> int:
    """The list that a column shows to people in a situation: only the last column has one for each."""
    return column if column < COLUMNS - 1 else column + here


@kernel
def _learn(
    x: tuple[Int32, Float32, Int32, Float32],
    clocks: tuple[Int64, Float64],
    half: Float64,
    lists: tuple[Float64, Int32, Int32, Int32],
    facts: tuple[Float64, Int64, Int64],
) -> None:
    """``clocks``: events so far, highest slot, events of each situation; share and number of first events."""
    items, weights, ctx_start, ctx_gap = x
    clock, fresh = clocks
    key = lists[0]
    count, first, last = facts
    for r in range(len(items)):
        item, weight = items[r], weights[r]
        if item == 0 or weight <= 0:
            continue
        here = situation(ctx_start[r], ctx_start[r + 1], ctx_gap)
        clock[0] += 1
        clock[1] = max(clock[1], item)
        clock[2 + here] += 1
        fresh[0] *= FRESH
        if count[item] == 0:
            first[item] = clock[0]
            fresh[0] += 1.0 - FRESH
            fresh[1] += 1.0
        count[item] += weight
        last[item] = clock[0]
        for h in range(COLUMNS):
            general = h < COLUMNS - 1
            n = list_of(h, here)
            now = (clock[0] if general else clock[2 + here]) / half[n]
            key[item, n] = now + np.log2(weight + 2.0 ** (key[item, n] - now))
            _lift(n, item, *lists)


@kernel
def _lift(h: int, item: int, key: Float64, place: Int32, top: Int32, filled: Int32) -> None:
    """Move an item whose key rose to its place in the sorted top list."""
    at = place[item, h]
    mine = key[item, h]
    if at < 0:
        size = top.shape[1]
        if filled[h] < size:
            at = filled[h]
            filled[h] += 1
        elif mine > key[top[h, size - 1], h]:
            at = size - 1
            place[top[h, at], h] = -1
        else:
            return
    while at > 0 and key[top[h, at - 1], h] < mine:
        other = top[h, at - 1]
        top[h, at] = other
        place[other, h] = at
        at -= 1
    top[h, at] = item
    place[item, h] = at


@brief_kernel
def _walk(
    x: tuple[Int32, Float32],
    bans: tuple[Int32, Int32],
    marks: tuple[Int32, int],
    lists: tuple[Float64, Int32, Int32, Float64],
    items: Int32,
    values: Float32,
) -> None:
    key, top, filled, offset = lists
    stamp = marks[1]
    for u in range(items.shape[0]):
        ban(marks[0], stamp + u, bans[1], bans[0][u], bans[0][u + 1])
        for c in range(COLUMNS):
            h = list_of(c, situation(x[0][u], x[0][u + 1], x[1]))
            n = 0
            for p in range(filled[h]):
                item = top[h, p]
                if marks[0][item] < stamp + u:
                    items[u, c, n] = item
                    values[u, c, n] = key[item, h] - offset[h]
                    n += 1
                    if n == items.shape[2]:
                        break


@inner_kernel
def log1p(x: float) -> np.float32:
    """Of counts: single precision is enough, and several times faster."""
    return np.float32(np.log(np.float32(1.0 + x)))


@kernel
def _scores(
    x: tuple[Int32, Float32],
    wanted: tuple[Int32, Int32],
    lists: tuple[Float64, Float64],
    facts: tuple[Float64, Int64, Int64],
    now: int,
    out: Float32,
) -> None:
    start, item = wanted
    key, offset = lists
    count, first, last = facts
    for u in range(len(start) - 1):
        here = situation(x[0][u], x[0][u + 1], x[1])
        for p in range(start[u], start[u + 1]):
            i = item[p]
            for c in range(COLUMNS):
                h = list_of(c, here)
                out[p, c] = max(key[i, h] - offset[h], -60.0)
            known = count[i] > 0
            out[p, COLUMNS] = log1p(count[i]) / 3.0
            out[p, COLUMNS + 1] = log1p(now - first[i]) / 4.0 if known else 0.0
            out[p, COLUMNS + 2] = log1p(now - last[i]) / 4.0 if known else 0.0
