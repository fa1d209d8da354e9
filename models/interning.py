"""Ids to slots and back: small integers for everything that computes."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import repeat
from typing import Any

import numpy as np

from models.packed import Packed, PackedIndex
from schemas.signals import Int32

UNKNOWN = 0
"""The slot of every id that was never interned; its rows are zero everywhere."""


class Interner:
    """A growing bijection between ids and slots 1, 2, 3 …; slot 0 means "unknown".

    Slots are given in order of first interning and never reused: the same sequence of ids gives the
    same slots.

    Examples
    --------
    >>> items = Interner()
    >>> items.intern_many(["tea", "cup", "tea"])
    array([1, 2, 1], dtype=int32)
    >>> items.lookup("pot"), items.id_of(2), len(items)
    (0, 'cup', 3)
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._adding: AbstractContextManager[Any] = nullcontext()
        self._ids: list[str] = [""]
        self._slots: dict[str, int] = {"": UNKNOWN}
        self._packed = PackedIndex()
        for name in ids:
            self.intern(name)

    def __len__(self) -> int:
        """One more than the highest slot: the length of an array indexed by slot."""
        return len(self._ids)

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def share(self, adding: AbstractContextManager[Any]) -> None:
        """Let threads intern at the same time from now on; what works with packed ids is one thread's.

        Parameters
        ----------
        adding
            A lock, held while an id is added.
        """
        self._adding = adding

    def intern(self, name: str) -> int:
        """The slot of an id, a new one if need be."""
        slot = self._slots.get(name)
        return self._add(name) if slot is None else slot

    def _add(self, name: str) -> int:
        with self._adding:
            slot = self._slots.get(name)  # another thread may have been faster
            if slot is None:
                slot = len(self._ids)
                self._ids.append(name)
                self._slots[name] = slot  # last: who finds a slot finds its id
            return slot

    def intern_many(self, names: Iterable[str]) -> Int32:
        """Slots of many ids, shape (n,)."""
        return np.fromiter((self.intern(n) for n in names), np.int32)

    def intern_packed(self, ids: Packed) -> Int32:
        """Slots of ids that are given as bytes, new ones if need be, shape (n,).

        Examples
        --------
        >>> items = Interner(["tea"])
        >>> items.intern_packed(Packed(["cup", "tea"])), items.id_of(2)
        (array([2, 1], dtype=int32), 'cup')
        """
        slots = self._index().find(ids) + np.int32(1)
        fresh = np.flatnonzero(slots == UNKNOWN)
        slots[fresh] = self.intern_many(ids.take(fresh))
        return slots

    def pack(self, slots: Int32) -> Packed:
        """Ids in many slots above 0, as bytes."""
        return self._index().strings.take(slots - np.int32(1))

    def packed(self) -> Packed:
        """All ids in slot order, from slot 1, as bytes (views)."""
        strings = self._index().strings
        return Packed.of_arrays(strings.data[: strings.start[-1]], strings.start)

    def follow(self, ids: Packed) -> bool:
        """Take the new ones of ids that begin with all of ours; False (and nothing done) if they do not.

        Examples
        --------
        >>> items = Interner(["tea"])
        >>> items.follow(Packed(["tea", "cup"])), items.lookup("cup"), items.follow(Packed(["pot"]))
        (True, 2, False)
        """
        own = self.packed()
        n, end = len(own), int(own.start[-1])
        if len(ids) < n or not np.array_equal(ids.start[: n + 1], own.start):
            return False
        if not np.array_equal(ids.data[:end], own.data):
            return False
        self.intern_many(Packed.of_arrays(ids.data[end:], ids.start[n:] - end))
        self._index()  # now, once: the next call compares with it
        return True

    def _index(self) -> PackedIndex:
        """Bytes of all ids; made and kept up when they are asked for, for state blocks."""
        known = 1 + len(self._packed)
        if known < len(self._ids):
            self._packed.extend(self._ids[known:])
        return self._packed

    def lookup(self, name: str) -> int:
        """The slot of an id, 0 if it has none."""
        return self._slots.get(name, UNKNOWN)

    def lookup_many(self, names: Iterable[str]) -> Int32:
        """Slots of many ids, 0 where unknown, shape (n,)."""
        return np.fromiter(map(self._slots.get, names, repeat(UNKNOWN)), np.int32)

    def id_of(self, slot: int) -> str:
        """The id in a slot; the empty string for slot 0."""
        return self._ids[slot]

    def ids_of(self, slots: Iterable[int]) -> list[str]:
        """Ids in many slots."""
        ids = self._ids
        return [ids[s] for s in slots]

    @property
    def ids(self) -> Sequence[str]:
        """All ids in slot order, from slot 1; what ``Interner(ids)`` rebuilds from."""
        return self._ids[1:]
