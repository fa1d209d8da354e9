"""Sparse rows of neighbours: a pool of small dense arrays, one per item."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.arena import Arena
from models.components.minifloat import UInt16, decode, encode, next_bits
from models.jit import kernel
from schemas.signals import Float64, Int32, Int64, UInt64

SIZES: Final = np.array([4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768], np.int32)
"""Places that a row may have."""
LARGEST: Final = 768
KEPT: Final = 512
"""A full row of the largest size forgets all but its ``KEPT`` heaviest neighbours."""
SLACK: Final = 54 * LARGEST
"""Entries that one event may allocate at most: fifty rows growing by one, one row growing by fifty."""

Pool = tuple[Int64, Int32, Int32, Int32, UInt16, Int64, Int64, UInt64]
"""begin, places, used of the rows; id, weight of the entries; free, top, random."""


class NeighbourPool:
    """Rows of (neighbour, weights), each row between 4 and 768 places, filled from its beginning.

    While an item has no more than 768 neighbours its row is complete; then the lightest are dropped.
    Weights are 16-bit codes (``minifloat``).

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
        self.entries.declare("weight", np.uint16, (width,))
        self.free = np.full(len(SIZES), -1, np.int64)
        self.top = np.zeros(1, np.int64)
        self.random = np.zeros(1, np.uint64)

    def reserve(self, n_items: int) -> None:
        """Room for rows of all slots below ``n_items`` and for the next event's growth."""
        self.rows.reserve(n_items)
        self.entries.reserve(int(self.top[0]) + SLACK)

    def arrays(self) -> Pool:
        """What kernels take."""
        r, e = self.rows, self.entries
        return (
            r["begin"], r["places"], r["used"], e["id"], e["weight"], self.free, self.top, self.random
        )  # fmt: skip

    def nbytes(self) -> int:
        """Bytes held, reserve included."""
        return self.rows.nbytes() + self.entries.nbytes()

    def export(self, n_items: int) -> dict[str, npt.NDArray[Any]]:
        """All arrays: rows of so many slots, entries in use."""
        rows = {f"row_{k}": a for k, a in self.rows.export(n_items).items()}
        entries = {f"entry_{k}": a for k, a in self.entries.export(int(self.top[0])).items()}
        return {**rows, **entries, "free": self.free, "top": self.top, "random": self.random}

    def adopt(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Hold the arrays that ``export`` gave."""
        self.free, self.top, self.random = arrays["free"], arrays["top"], arrays["random"]
        self.rows.adopt({k.removeprefix("row_"): a for k, a in arrays.items() if k.startswith("row_")})
        self.entries.adopt({k.removeprefix("entry_"): a for k, a in arrays.items() if k.startswith("entry_")})


@kernel
def place_of(ids: Int32, begin: int, used: int, item: int) -> int:
    """Index of an item's entry in a row, -1 where it has none; one pass that compilers vectorise."""
    row = ids[begin : begin + used]
    found = np.int32(-1)
    for p in range(len(row)):
        found = max(found, np.int32(p) if row[p] == item else np.int32(-1))
    return int(begin + found) if found >= 0 else -1


@kernel
def allocate(size: int, ids: Int32, free: Int64, top: Int64) -> int:
    """Take a row from the free list of its size (an index of ``SIZES``), or from the end of the pool."""
    begin = free[size]
    if begin < 0:
        begin = top[0]
        top[0] += SIZES[size]
        return int(begin)
    free[size] = np.int64(ids[begin]) | (np.int64(ids[begin + 1]) << 31)
    if ids[begin + 2] == 1:
        free[size] = -1
    return int(begin)


@kernel
def release(begin: int, size: int, ids: Int32, free: Int64) -> None:
    """Chain a row into the free list of its size; its first places hold the link."""
    link = free[size]
    ids[begin + 2] = 1 if link < 0 else 0
    ids[begin] = np.int32(link & 0x7FFFFFFF) if link >= 0 else 0
    ids[begin + 1] = np.int32(link >> 31) if link >= 0 else 0
    free[size] = begin


@kernel
def add(pool: Pool, row: int, item: int, weights: Float64) -> float:
    """Add weights to the entry of ``item`` in a row, made if need be; returns its heaviest weight now."""
    begin, _, used, ids, codes, _, _, random = pool
    at = place_of(ids, begin[row], used[row], item)
    if at < 0:
        at = make(pool, row, item)
    return put(codes, at, weights, random)


@kernel
def make(pool: Pool, row: int, item: int) -> int:
    """A new entry of weight 0 at the end of a row, which grows or forgets to make room."""
    begin, places, used, ids, codes, _, _, _ = pool
    if used[row] == places[row]:
        if places[row] < LARGEST:
            _grow(row, pool)
        else:
            _prune(row, begin, used, ids, codes)
    at = begin[row] + used[row]
    ids[at] = item
    codes[at, :] = 0
    used[row] += 1
    return int(at)


@kernel
def put(codes: UInt16, at: int, weights: Float64, random: UInt64) -> float:
    """Add weights to an entry; returns its heaviest weight now."""
    noise = next_bits(random)
    heaviest = 0
    for m in range(len(weights)):
        if weights[m] > 0.0:
            codes[at, m] = encode(decode(codes[at, m]) + weights[m], int(noise & np.uint64(4095)))
        heaviest = max(heaviest, int(codes[at, m]))
        noise = (noise >> np.uint64(12)) | (noise << np.uint64(52))
    return float(decode(heaviest))


@kernel
def heaviest_of(pool: Pool, row: int) -> float:
    """The heaviest weight of a row."""
    begin, _, used, _, codes, _, _, _ = pool
    heaviest = 0
    for p in range(begin[row], begin[row] + used[row]):
        for m in range(codes.shape[1]):
            heaviest = max(heaviest, int(codes[p, m]))
    return float(decode(heaviest))


@kernel
def fade(pool: Pool, row: int, keep: float) -> None:
    """Multiply all weights of a row."""
    begin, _, used, _, codes, _, _, random = pool
    for p in range(begin[row], begin[row] + used[row]):
        noise = next_bits(random)
        for m in range(codes.shape[1]):
            codes[p, m] = encode(float(keep * decode(codes[p, m])), int(noise & np.uint64(4095)))
            noise = (noise >> np.uint64(12)) | (noise << np.uint64(52))


@kernel
def _grow(row: int, pool: Pool) -> None:
    begin, places, used, ids, codes, free, top, _ = pool
    size = 0
    while SIZES[size] <= places[row]:
        size += 1
    new = allocate(size, ids, free, top)
    if places[row] > 0:
        old = begin[row]
        for p in range(used[row]):
            ids[new + p] = ids[old + p]
            codes[new + p, :] = codes[old + p, :]
        release(old, size - 1, ids, free)
    begin[row] = new
    places[row] = SIZES[size]


@kernel
def _prune(row: int, begin: Int64, used: Int32, ids: Int32, codes: UInt16) -> None:
    """Keep the heaviest; equal ones in the order in which they stand."""
    first, size = begin[row], used[row]
    heavy = np.sort(codes[first : first + size, 0].copy())
    limit = heavy[size - KEPT]
    equal = KEPT
    for p in range(size):
        equal -= 1 if heavy[p] > limit else 0
    n = first
    for p in range(first, first + size):
        if codes[p, 0] < limit or (codes[p, 0] == limit and equal <= 0):
            continue
        equal -= 1 if codes[p, 0] == limit else 0
        ids[n] = ids[p]
        codes[n, :] = codes[p, :]
        n += 1
    used[row] = n - first
