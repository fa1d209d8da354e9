"""Decayed popularity at several half-lives, with exact top lists kept up incrementally."""

from typing import Final

import numpy as np

from models.arena import Arena
from models.components.base import Queries, ban
from models.fold import Rows
from models.jit import kernel
from schemas.signals import Float32, Float64, Int32, Int64
from schemas.snapshots import checksum, pack, unpack

HALF_LIVES: Final = (200.0, 2_000.0, 30_000.0)
"""In events of the whole stream."""
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

    VERSION = 1
    name = "popularity"
    columns: tuple[str, ...] = ("popular_now", "popular", "popular_ever")
    extras: tuple[str, ...] = ("count", "item_age", "item_idle")

    def __init__(self) -> None:
        self.half = np.array(HALF_LIVES)
        self.clock = np.zeros(2, np.int64)
        self.arena = Arena()
        self.arena.declare("key", np.float64, (len(HALF_LIVES),), fill=-np.inf)
        self.arena.declare("place", np.int32, (len(HALF_LIVES),), fill=-1)
        self.arena.declare("count", np.float64)
        self.arena.declare("first", np.int64)
        self.arena.declare("last", np.int64)
        self.top = np.zeros((len(HALF_LIVES), TOP), np.int32)
        self.filled = np.zeros(len(HALF_LIVES), np.int32)

    def learn(self, rows: Rows) -> None:
        """Count."""
        self.arena.reserve(rows.n_items)
        a = self.arena
        _learn(
            rows.interactions.item,
            rows.interactions.weight,
            self.clock,
            self.half,
            a["key"],
            a["place"],
            a["count"],
            a["first"],
            a["last"],
            self.top,
            self.filled,
        )

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """The most popular that are not banned."""
        self.arena.reserve(queries.n_items)
        shape = (len(queries), len(HALF_LIVES), k)
        items, values = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        stamp = queries.marks.take(len(queries), queries.n_items)
        _walk(
            queries.ban_start,
            queries.ban_item,
            queries.marks.stamp,
            stamp,
            self.arena["key"],
            self.top,
            self.filled,
            self.offsets(),
            items,
            values,
        )
        return items, values

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:  # noqa: ARG002 - not personal
        """Log2 masses now, and the extras."""
        self.arena.reserve(queries.n_items)
        a = self.arena
        out = np.empty((len(item), len(HALF_LIVES) + 3), np.float32)
        _scores(item, a["key"], a["count"], a["first"], a["last"], self.clock[0], self.offsets(), out)
        return out

    def offsets(self) -> Float64:
        """What the keys must be lowered by to be log2 masses now."""
        return np.asarray(self.clock[0] / self.half)

    def count(self) -> Float64:
        """Events per fold slot."""
        counts: Float64 = self.arena["count"]
        return counts

    def snapshot(self) -> bytes:
        """Keys, counts and top lists."""
        arrays = self.arena.export(int(self.clock[1]) + 1)
        return pack(
            self.name, self.VERSION, {**arrays, "clock": self.clock, "top": self.top, "filled": self.filled}
        )

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        arrays, _ = unpack(data, self.name, self.VERSION)
        self.clock, self.top, self.filled = arrays.pop("clock"), arrays.pop("top"), arrays.pop("filled")
        self.arena.load(arrays)

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@kernel
def _learn(
    items: Int32,
    weights: Float32,
    clock: Int64,
    half: Float64,
    key: Float64,
    place: Int32,
    count: Float64,
    first: Int64,
    last: Int64,
    top: Int32,
    filled: Int32,
) -> None:
    """``clock``: events so far, highest slot so far."""
    for r in range(len(items)):
        item, weight = items[r], weights[r]
        if item == 0 or weight <= 0:
            continue
        clock[0] += 1
        clock[1] = max(clock[1], item)
        if count[item] == 0:
            first[item] = clock[0]
        count[item] += weight
        last[item] = clock[0]
        for h in range(len(half)):
            now = clock[0] / half[h]
            key[item, h] = now + np.log2(weight + 2.0 ** (key[item, h] - now))
            _lift(h, item, key, place, top, filled)


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


@kernel
def _walk(
    ban_start: Int32,
    ban_item: Int32,
    marks: Int32,
    stamp: int,
    key: Float64,
    top: Int32,
    filled: Int32,
    offset: Float64,
    items: Int32,
    values: Float32,
) -> None:
    for u in range(items.shape[0]):
        ban(marks, stamp + u, ban_item, ban_start[u], ban_start[u + 1])
        for h in range(items.shape[1]):
            n = 0
            for p in range(filled[h]):
                item = top[h, p]
                if marks[item] < stamp + u:
                    items[u, h, n] = item
                    values[u, h, n] = key[item, h] - offset[h]
                    n += 1
                    if n == items.shape[2]:
                        break


@kernel
def _scores(
    item: Int32,
    key: Float64,
    count: Float64,
    first: Int64,
    last: Int64,
    now: int,
    offset: Float64,
    out: Float32,
) -> None:
    halves = len(offset)
    for p in range(len(item)):
        i = item[p]
        for h in range(halves):
            out[p, h] = max(key[i, h] - offset[h], -60.0)
        known = count[i] > 0
        out[p, halves] = np.log1p(count[i]) / 3.0
        out[p, halves + 1] = np.log1p(now - first[i]) / 4.0 if known else 0.0
        out[p, halves + 2] = np.log1p(now - last[i]) / 4.0 if known else 0.0
