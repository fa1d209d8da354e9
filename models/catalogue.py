"""What is known about items: liveness, stock, attributes to filter by, texts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import numpy as np

from models.arena import Arena
from models.interning import Interner
from schemas.catalogue import Item
from schemas.signals import Int32, UInt8


class Catalogue:
    """Facts per universe slot.

    Items that were never described are live (they were seen in events); a delisted one, or one with
    stock 0, is never listed.

    Parameters
    ----------
    items
        The universe interner, shared with the engine.

    Examples
    --------
    >>> catalogue = Catalogue(Interner())
    >>> catalogue.describe([Item(item_id="tea", categories=("drinks",)), Item(item_id="cup", stock=0)])
    array([1, 2], dtype=int32)
    >>> catalogue.live()[:3], catalogue.matching({"category": "drinks"})
    (array([1, 1, 0], dtype=uint8), array([1], dtype=int32))
    >>> catalogue.describe([Item(item_id="pot")]), catalogue.newest(5)
    (array([3], dtype=int32), array([3, 1], dtype=int32))
    """

    def __init__(self, items: Interner) -> None:
        self.items = items
        self._known: dict[int, Item] = {}
        self._index: dict[tuple[str, str], set[int]] = {}
        self._groups = Interner()
        self._arena = Arena()
        self._arena.declare("live", np.uint8, fill=1)
        self._arena.declare("group", np.int32)

    def __len__(self) -> int:
        """Items described."""
        return len(self._known)

    def get(self, item_id: str) -> Item | None:
        """What was said of an item last."""
        return self._known.get(self.items.lookup(item_id))

    def live(self) -> UInt8:
        """1 where an item may be listed, by universe slot."""
        self._arena.reserve(len(self.items))
        live: UInt8 = self._arena["live"]
        return live

    def group(self) -> Int32:
        """First category of each item as a small number, 0 where there is none, by universe slot."""
        self._arena.reserve(len(self.items))
        group: Int32 = self._arena["group"]
        return group

    def describe(self, items: Sequence[Item]) -> Int32:
        """Insert or replace; returns the items' slots."""
        slots = self.items.intern_many(i.item_id for i in items)
        self._arena.reserve(len(self.items))
        for slot, item in zip(slots.tolist(), items, strict=True):
            self._forget(slot)
            self._known[slot] = item
            self._arena["live"][slot] = 0 if item.stock == 0 else 1
            self._arena["group"][slot] = self._groups.intern(item.categories[0]) if item.categories else 0
            for key in _keys(item):
                self._index.setdefault(key, set()).add(slot)
        return slots

    def delist(self, item_ids: Iterable[str]) -> Int32:
        """Never list these again, until they are described again; returns their slots."""
        slots = self.items.intern_many(item_ids)
        self._arena.reserve(len(self.items))
        for slot in slots.tolist():
            self._forget(slot)
            self._arena["live"][slot] = 0
        return slots

    def matching(self, filters: Mapping[str, str]) -> Int32:
        """Described items of which every attribute equals the filter's, ascending.

        ``category`` and ``tag`` match any of an item's categories and tags.
        """
        sets = [self._index.get((k, v), set()) for k, v in filters.items()]
        return np.array(sorted(set.intersection(*sets)) if sets else [], np.int32)

    def newest(self, length: int) -> Int32:
        """At most so many items that may be listed, those described last first."""
        live = self.live()
        listed = (slot for slot in reversed(self._known) if live[slot])
        return np.fromiter(islice(listed, length), np.int32)

    def described(self) -> Mapping[int, Item]:
        """All items by universe slot."""
        return self._known

    def _forget(self, slot: int) -> None:
        old = self._known.pop(slot, None)
        if old is not None:
            for key in _keys(old):
                self._index.get(key, set()).discard(slot)


def _keys(item: Item) -> list[tuple[str, str]]:
    pairs = [("category", c) for c in item.categories] + [("tag", t) for t in item.tags]
    return pairs + [(name, str(value)) for name, value in item.attributes.items()]
