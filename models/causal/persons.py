"""Who was exposed and who converted: an exact set of persons in bounded memory.

A person is the 64-bit hash of their id.  The set is an open-addressing table of one hash and one byte
of flags: 13 to 30 bytes a person.  Past ``limit`` persons it keeps those whose hash falls into one half,
then one quarter, … of the hash space.  That choice knows nothing of arms or conversions, so what is left
is a smaller experiment of the same split, with exact counts of its own.
"""

import numpy as np

from models.jit import kernel
from schemas.signals import Int64, UInt8, UInt64

PRESENT, HELD, CLICKED, PURCHASED, MIXED = 1, 2, 4, 8, 16
"""Flag bits: in the set; first exposed in the holdout; converted; seen on both sides."""

LIMIT = 5_000_000
_SMALLEST = 1 << 10
_FULL = 0.6


class Persons:
    """The set, and its counts.

    Parameters
    ----------
    limit
        Persons kept exactly; above it the set is thinned by halves.

    Attributes
    ----------
    keys, flags
        The table; a slot with flags 0 is empty.
    exposed
        Persons by arm of their first exposure, shape (2,).
    firsts
        Persons who converted after it, by kind (click, purchase) and arm, shape (2, 2).
    mixed
        Persons later seen in the other arm, shape (1,).
    thinned
        How often the set was halved.

    Examples
    --------
    >>> people = Persons()
    >>> people.load(np.array([7, 9], np.uint64), np.array([PRESENT, PRESENT | HELD | CLICKED], np.uint8))
    >>> people.exposed.tolist(), people.firsts.tolist()
    ([1, 1], [[0, 1], [0, 0]])
    """

    def __init__(self, limit: int = LIMIT) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self.limit = limit
        self.thinned = 0
        self.clear()

    def clear(self) -> None:
        """Forget everybody."""
        self._allocate(_SMALLEST)

    def __len__(self) -> int:
        return int(self.exposed.sum())

    def _allocate(self, capacity: int) -> None:
        self.keys: UInt64 = np.zeros(capacity, np.uint64)
        self.flags: UInt8 = np.zeros(capacity, np.uint8)
        self.exposed: Int64 = np.zeros(2, np.int64)
        self.firsts: Int64 = np.zeros((2, 2), np.int64)
        self.mixed: Int64 = np.zeros(1, np.int64)

    def reserve(self, more: int) -> None:
        """Make room for ``more`` new persons."""
        wanted = len(self) + more
        if wanted <= _FULL * len(self.keys):
            return
        capacity = len(self.keys)
        while wanted > _FULL * capacity:
            capacity *= 2
        keys, flags = self.content()
        self._allocate(capacity)
        _load(self.keys, self.flags, keys, flags, self.exposed, self.firsts, self.mixed)

    def load(self, keys: UInt64, flags: UInt8) -> None:
        """Add persons with their flags; those already there gain the new conversions."""
        self.reserve(len(keys))
        _load(self.keys, self.flags, keys, flags, self.exposed, self.firsts, self.mixed)
        self.thin()

    def content(self) -> tuple[UInt64, UInt8]:
        """All persons, sorted by hash, with their flags: the same set gives the same bytes."""
        used = np.flatnonzero(self.flags)
        order = used[np.argsort(self.keys[used], kind="stable")]
        return self.keys[order], self.flags[order]

    def thin(self) -> None:
        """Halve the share of the hash space that is followed until the set fits."""
        while len(self) > self.limit:
            self.thinned += 1
            keys, flags = self.content()
            kept = keys >> np.uint64(64 - self.thinned) == 0
            self._allocate(_SMALLEST)
            self.reserve(int(kept.sum()))
            _load(self.keys, self.flags, keys[kept], flags[kept], self.exposed, self.firsts, self.mixed)


@kernel
def find(keys: UInt64, flags: UInt8, key: np.uint64) -> np.int64:
    """Slot of a person, or the empty slot where they belong."""
    mask = np.uint64(len(keys) - 1)
    slot = np.int64(key & mask)
    while flags[slot] != 0 and keys[slot] != key:
        slot = np.int64(np.uint64(slot + 1) & mask)
    return slot


@kernel
def _load(
    keys: UInt64, flags: UInt8, new: UInt64, marks: UInt8, exposed: Int64, firsts: Int64, mixed: Int64
) -> None:
    for i in range(len(new)):
        slot = find(keys, flags, new[i])
        if flags[slot] == 0:
            keys[slot] = new[i]
            flags[slot] = PRESENT | (marks[i] & HELD)
            exposed[1 if marks[i] & HELD else 0] += 1
        arm = 1 if flags[slot] & HELD else 0
        crossed = MIXED if (marks[i] ^ flags[slot]) & HELD else 0
        gained = (marks[i] | crossed) & ~flags[slot] & (CLICKED | PURCHASED | MIXED)
        if gained & CLICKED:
            firsts[0, arm] += 1
        if gained & PURCHASED:
            firsts[1, arm] += 1
        if gained & MIXED:
            mixed[0] += 1
        flags[slot] |= gained
