"""What items are called, for people: a small view of the compacted ``items`` topic."""

import msgspec

from schemas.catalogue import Item

MAX_BYTES = 96 << 20
OVERHEAD = 180
"""Bytes of dictionary and objects beside an item's id, name and category, roughly."""

_decoder = msgspec.json.Decoder(Item)


class Title(msgspec.Struct, frozen=True, gc=False):
    """An item's name and its first category."""

    text: str
    category: str = ""


class Titles:
    """Names by item id; an unknown item is called by its id.

    Parameters
    ----------
    max_bytes
        Above it further items are not remembered.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._known: dict[str, Title] = {}
        self._max_bytes = max_bytes
        self._out: set[str] = set()
        self.size = 0

    def __len__(self) -> int:
        return len(self._known)

    def put(self, key: str, data: bytes | None) -> None:
        """An upsert of ``items``; None delists."""
        if data is None:
            self._replace(key, None)
            self._leave_out(key)
            return
        item = _decoder.decode(data)
        self._replace(item.item_id, Title(item.title or item.item_id, next(iter(item.categories), "")))
        if item.stock == 0:
            self._leave_out(item.item_id)
        elif item.item_id in self._out:
            self._out.remove(item.item_id)
            self.size -= OVERHEAD + len(item.item_id)

    def _replace(self, item_id: str, title: Title | None) -> None:
        """Forget the former name, and take the new one where there is room."""
        if (former := self._known.pop(item_id, None)) is not None:
            self.size -= _size(item_id, former)
        if title is not None and self.size + _size(item_id, title) <= self._max_bytes:
            self._known[item_id] = title
            self.size += _size(item_id, title)

    def listable(self, item_id: str) -> bool:
        """Whether nothing is known against listing an item: it is not delisted, and not out of stock."""
        return item_id not in self._out

    def _leave_out(self, item_id: str) -> None:
        size = OVERHEAD + len(item_id)
        if item_id not in self._out and self.size + size <= self._max_bytes:
            self._out.add(item_id)
            self.size += size

    def of(self, item_id: str) -> Title:
        """The item's name."""
        return self._known.get(item_id) or Title(item_id)

    def search(self, text: str, limit: int = 8) -> list[tuple[str, Title]]:
        """Items whose name or category contains every word, names that begin with the text first.

        Examples
        --------
        >>> titles = Titles()
        >>> for key, name in (("1", "Green tea"), ("2", "Tea, black"), ("3", "Bread")):
        ...     titles.put(key, msgspec.json.encode(Item(item_id=key, title=name)))
        >>> [title.text for _, title in titles.search("tea")]
        ['Tea, black', 'Green tea']
        """
        words = text.lower().split()
        found = []
        for item_id, title in self._known.items():
            full = f"{title.text} {title.category} {item_id}".lower()
            if all(word in full for word in words):
                found.append((not full.startswith(text.lower().strip()), title.text, item_id, title))
        return [(item_id, title) for _, _, item_id, title in sorted(found, key=lambda f: f[:3])[:limit]]


def _size(item_id: str, title: Title) -> int:
    return OVERHEAD + len(item_id) + len(title.text) + len(title.category)
