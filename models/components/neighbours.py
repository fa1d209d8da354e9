"""Sparse rows of neighbours: a pool of small open-addressing hash tables, one per item."""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.arena import Arena
from models.components.base import mix
from models.jit import kernel
from schemas.signals import Float32, Int32, Int64

SMALLEST = 8
LARGEST = 1024
KEPT = 512
"""A full row of the largest size forgets all but its ``KEPT`` heaviest neighbours."""
CLASSES = 8
SLACK = 54 * LARGEST
"""Entries that one event may allocate at most: fifty rows growing by one, one row growing by fifty."""


class NeighbourPool:
    """Rows of (neighbour, weights), each row between 8 and 1,024 places.

    While an item has no more than 768 neighbours its row is exact; then the lightest are dropped.

    Parameters
    ----------
    width
        Weights per neighbour; the first one decides which neighbours a full row keeps.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows = Arena()
        self.rows.declare("begin", np.int64, fill=-1)
        self.rows.declare("places", np.int32)
        self.rows.declare("used", np.int32)
        self.entries = Arena()
        self.entries.declare("id", np.int32)
        self.entries.declare("weight", np.float32, (width,))
        self.free = np.full(CLASSES, -1, np.int64)
        self.top = np.zeros(1, np.int64)

    def reserve(self, n_items: int) -> None:
        """Room for rows of all slots below ``n_items`` and for the next event's growth."""
        self.rows.reserve(n_items)
        self.entries.reserve(int(self.top[0]) + SLACK)

    def room(self) -> bool:
        """Whether the next event cannot run out of entries."""
        return int(self.top[0]) + SLACK <= self.entries.capacity

    def export(self, n_items: int) -> dict[str, npt.NDArray[Any]]:
        """Arrays for a snapshot."""
        rows = {f"row_{k}": a for k, a in self.rows.export(n_items).items()}
        entries = {f"entry_{k}": a for k, a in self.entries.export(int(self.top[0])).items()}
        return {**rows, **entries, "free": self.free, "top": self.top}

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Replace the content by what ``export`` gave."""
        self.free, self.top = arrays["free"], arrays["top"]
        self.rows.load({k.removeprefix("row_"): a for k, a in arrays.items() if k.startswith("row_")})
        self.entries.load({k.removeprefix("entry_"): a for k, a in arrays.items() if k.startswith("entry_")})


@kernel
def place_of(ids: Int32, begin: int, places: int, item: int) -> int:
    """Index of an item's entry in a row, or of the empty entry where it belongs."""
    at = mix(item) & (places - 1)
    while ids[begin + at] != item and ids[begin + at] != 0:
        at = (at + 1) & (places - 1)
    return int(begin + at)


@kernel
def find(ids: Int32, begin: int, places: int, item: int) -> int:
    """Index of an item's entry in a row, -1 if it has none: the common case, without a call."""
    if begin < 0:
        return -1
    at = place_of(ids, begin, places, item)
    return at if ids[at] == item else -1


@kernel
def allocate(places: int, ids: Int32, weights: Float32, free: Int64, top: Int64) -> int:
    """Take a cleared row from the free list of its size, or from the end of the pool."""
    size, c = SMALLEST, 0
    while size < places:
        size *= 2
        c += 1
    begin = free[c]
    if begin < 0:
        begin = top[0]
        top[0] += places
    else:
        free[c] = np.int64(ids[begin]) | (np.int64(ids[begin + 1]) << 31)
        if ids[begin + 2] == 1:
            free[c] = -1
    for p in range(begin, begin + places):
        ids[p] = 0
        weights[p, :] = 0.0
    return int(begin)


@kernel
def release(begin: int, places: int, ids: Int32, free: Int64) -> None:
    """Chain a row into the free list of its size; its first places hold the link."""
    size, c = SMALLEST, 0
    while size < places:
        size *= 2
        c += 1
    link = free[c]
    ids[begin + 2] = 1 if link < 0 else 0
    ids[begin] = np.int32(link & 0x7FFFFFFF) if link >= 0 else 0
    ids[begin + 1] = np.int32(link >> 31) if link >= 0 else 0
    free[c] = begin


@kernel
def entry(
    row: int,
    item: int,
    begin: Int64,
    places: Int32,
    used: Int32,
    ids: Int32,
    weights: Float32,
    free: Int64,
    top: Int64,
) -> int:
    """Index of the entry of ``item`` in a row, made with zero weights if need be."""
    if begin[row] < 0:
        begin[row] = allocate(SMALLEST, ids, weights, free, top)
        places[row] = SMALLEST
    at = place_of(ids, begin[row], places[row], item)
    if ids[at] == item:
        return at
    if 4 * (used[row] + 1) > 3 * places[row]:
        if places[row] < LARGEST:
            _grow(row, begin, places, ids, weights, free, top)
        else:
            _prune(row, begin, places, used, ids, weights)
        at = place_of(ids, begin[row], places[row], item)
    ids[at] = item
    used[row] += 1
    return at


@kernel
def _grow(
    row: int, begin: Int64, places: Int32, ids: Int32, weights: Float32, free: Int64, top: Int64
) -> None:
    old, size = begin[row], places[row]
    new = allocate(2 * size, ids, weights, free, top)
    for p in range(old, old + size):
        if ids[p] != 0:
            at = place_of(ids, new, 2 * size, ids[p])
            ids[at] = ids[p]
            weights[at, :] = weights[p, :]
    release(old, size, ids, free)
    begin[row] = new
    places[row] = 2 * size


@kernel
def _prune(row: int, begin: Int64, places: Int32, used: Int32, ids: Int32, weights: Float32) -> None:
    """Keep the heaviest; equal ones in the order in which they stand."""
    first, size = begin[row], places[row]
    kept_ids = ids[first : first + size].copy()
    kept_weights = weights[first : first + size].copy()
    heavy = np.sort(kept_weights[:, 0])
    limit = heavy[size - KEPT]
    above = 0
    for p in range(size):
        if kept_weights[p, 0] > limit:
            above += 1
    ids[first : first + size] = 0
    weights[first : first + size, :] = 0.0
    n = 0
    for p in range(size):
        if kept_ids[p] == 0:
            continue
        if kept_weights[p, 0] < limit:
            continue
        if kept_weights[p, 0] == limit:
            if above >= KEPT:
                continue
            above += 1
        at = place_of(ids, first, size, kept_ids[p])
        ids[at] = kept_ids[p]
        weights[at, :] = kept_weights[p, :]
        n += 1
    used[row] = n
