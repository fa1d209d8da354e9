"""User ids to slots: an open-addressing table over the ids' bytes, without a Python object per person.

Slots are given in order of first appearance, the lowest free one first, so that the same log gives the
same slots, and a restored shard goes on as the one that never stopped.
"""

from bisect import insort

import numpy as np

from models.jit import inner_kernel, kernel
from models.packed import Packed
from models.users.people import ALIVE, People
from models.users.pools import UInt32, enlarge, wide
from schemas.signals import Int32, Int64, UInt8, UInt64

NOBODY = -1
"""The slot of an id that is not known and was not to be added."""

_TOMB = -2


class Names:
    """The ids of one shard's people.

    Attributes
    ----------
    data
        Bytes of all ids; those of erased people are zero until the next clean-up.
    free
        Slots of erased people, ascending.
    used
        One more than the highest slot in use.
    """

    def __init__(self) -> None:
        self.data: UInt8 = np.zeros(64, np.uint8)
        self.end = 0
        self.holes = 0
        self.table: Int32 = np.full(64, NOBODY, np.int32)
        self.tags: UInt32 = np.zeros(64, np.uint32)
        self.filled = 0
        self.used = 0
        self.free: list[int] = []

    def resolve(
        self, people: People, ids: Packed, hashes: UInt64, order: Int64, create: UInt8
    ) -> tuple[Int32, Int32]:
        """Slots of ids, in an order, adding those that are new where allowed.

        Parameters
        ----------
        people
            Has room for ``len(order)`` more records.
        hashes
            Of the ids, shape (m,).
        order
            Which ids, in which order; shape (n,).
        create
            1 where an unknown id becomes a person, shape (m,).

        Returns
        -------
        slots
            Per id, ``NOBODY`` where unknown or not in ``order``; shape (m,).
        fresh
            Indices of the ids that became new people.
        """
        self._reserve(len(order), len(ids.data))
        free = np.array(self.free or [0], np.int64)
        marks = np.array([self.end, self.used, 0, len(self.free), self.filled, 0], np.int64)
        slots = np.full(len(hashes), NOBODY, np.int32)
        fresh = np.empty(len(order), np.int32)
        _resolve(
            ids.data, ids.start, hashes, order, create, self.table, self.tags, self.data, free, marks,
            people, slots, fresh,
        )  # fmt: skip
        self.end, self.used, taken, self.filled = (int(marks[k]) for k in (0, 1, 2, 4))
        del self.free[:taken]
        return slots, fresh[: marks[5]].copy()

    def find(self, people: People, ids: Packed) -> Int32:
        """Slots of ids, ``NOBODY`` where unknown, shape (m,)."""
        hashes = ids.hashes()
        order, create = np.arange(len(hashes)), np.zeros(len(hashes), np.uint8)
        return self.resolve(people, ids, hashes, order, create)[0]

    def add(self, people: People, name: str) -> tuple[int, bool]:
        """The slot of an id, and whether it is a new one; ``people`` has room for one more."""
        one = Packed([name])
        slots, fresh = self.resolve(people, one, one.hashes(), np.zeros(1, np.int64), np.ones(1, np.uint8))
        return int(slots[0]), len(fresh) > 0

    def name_of(self, people: People, slot: int) -> str:
        """The id of a person."""
        at = int(people["name_at"][slot])
        return self.data[at : at + int(people["name_n"][slot])].tobytes().decode()

    def remove(self, people: People, slot: int) -> None:
        """Forget an id: its bytes become zero and its slot free."""
        at, n = int(people["name_at"][slot]), int(people["name_n"][slot])
        name = Packed.of_bytes(self.data[at : at + n].copy(), np.array([n]))
        _forget(name.hashes()[0], slot, self.table, self.tags)
        self.data[at : at + n] = 0
        self.holes += n
        insort(self.free, slot)

    def place(self, people: People, slots: Int64, ids: Packed) -> None:
        """Put ids into given free slots (a block that is loaded)."""
        top = max(self.used, int(slots.max(initial=-1)) + 1)
        free = np.concatenate([np.array(self.free, np.int64), np.arange(self.used, top)])
        self.free, self.used = free[~np.isin(free, slots)].tolist(), top
        self._reserve(len(slots), len(ids.data))
        end = self.end + len(ids.data)
        self.data[self.end : end] = ids.data
        people["name_at"][slots] = self.end + ids.start[:-1]
        people["name_n"][slots] = np.diff(ids.start)
        people["flags"][slots] |= ALIVE
        self.end = end
        _index(ids.hashes(), slots, self.table, self.tags)
        self.filled += len(slots)

    @property
    def nbytes(self) -> int:
        """Bytes of the table and of the ids."""
        return self.data.nbytes + self.table.nbytes + self.tags.nbytes

    def clean(self, people: People) -> None:
        """Close the holes that erased people left, once they are half of all bytes."""
        if 2 * self.holes > self.end + 1024:
            alive = np.flatnonzero(people["flags"][: self.used] & ALIVE)
            parts = [
                self.data[a : a + n]
                for a, n in zip(people["name_at"][alive], people["name_n"][alive], strict=True)
            ]
            lengths = people["name_n"][alive].astype(np.int64)
            self.data = np.concatenate([*parts, np.zeros(64, np.uint8)])
            people["name_at"][alive] = np.cumsum(lengths) - lengths
            self.end, self.holes = int(lengths.sum()), 0

    def _reserve(self, people: int, size: int) -> None:
        enlarge(self.data, self.end + size)
        if 3 * (self.filled + people) > 2 * len(self.table):
            self._rehash(people)

    def _rehash(self, more: int) -> None:
        live = self.table >= 0
        slots, tags = self.table[live], self.tags[live]
        size = max(64, 2 * (len(slots) + more))
        self.table = np.full(size, NOBODY, np.int32)
        self.tags = np.zeros(size, np.uint32)
        _index(tags.astype(np.uint64), slots.astype(np.int64), self.table, self.tags)
        self.filled = len(slots)


@inner_kernel
def _home(tag: np.uint32, table: Int32) -> int:
    """Where a tag belongs in a table of any length."""
    return (wide(tag) * len(table)) >> 32


@kernel
def _resolve(
    data: UInt8,
    start: Int64,
    hashes: UInt64,
    order: Int64,
    create: UInt8,
    table: Int32,
    tags: UInt32,
    names: UInt8,
    free: Int64,
    marks: Int64,
    p: People,
    slots: Int32,
    fresh: Int32,
) -> None:
    """Find or add; marks: end of names, used, free taken, free at hand, filled, fresh."""
    for i in order:
        n = start[i + 1] - start[i]
        tag = np.uint32(hashes[i])
        at = _home(tag, table)
        slot = wide(NOBODY)
        while table[at] != NOBODY:
            if table[at] >= 0 and tags[at] == tag and p[table[at]].name_n == n:
                where = p[table[at]].name_at
                k = 0
                while k < n and names[where + k] == data[start[i] + k]:
                    k += 1
                if k == n:
                    slot = wide(table[at])
                    break
            at = at + 1 if at + 1 < len(table) else 0
        if slot < 0 and create[i] != 0:
            if marks[2] < marks[3]:
                slot = free[marks[2]]
                marks[2] += 1
            else:
                slot = marks[1]
                marks[1] += 1
            table[at] = slot
            tags[at] = tag
            p[slot].name_at = marks[0]
            p[slot].name_n = n
            p[slot].flags = ALIVE
            for k in range(n):
                names[marks[0] + k] = data[start[i] + k]
            marks[0] += n
            marks[4] += 1
            fresh[marks[5]] = i
            marks[5] += 1
        slots[i] = slot


@kernel
def _forget(name: int, slot: int, table: Int32, tags: UInt32) -> None:
    at = _home(np.uint32(name), table)
    while table[at] != slot:
        at = at + 1 if at + 1 < len(table) else 0
    table[at] = _TOMB
    tags[at] = 0


@kernel
def _index(hashes: UInt64, slots: Int64, table: Int32, tags: UInt32) -> None:
    for i in range(len(slots)):
        tag = np.uint32(hashes[i])
        at = _home(tag, table)
        while table[at] >= 0:
            at = at + 1 if at + 1 < len(table) else 0
        table[at] = slots[i]
        tags[at] = tag
