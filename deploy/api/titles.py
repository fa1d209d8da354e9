"""What items are called, for people: a small view of the compacted ``items`` topic."""

import msgspec

from schemas.catalogue import Item

MAX_ITEMS = 500_000

_decoder = msgspec.json.Decoder(Item)


class Title(msgspec.Struct, frozen=True, gc=False):
    """An item's name and its first category."""

    text: str
    category: str = ""


class Titles:
    """Names by item id; an unknown item is called by its id."""

    def __init__(self, max_items: int = MAX_ITEMS) -> None:
        self._known: dict[str, Title] = {}
        self._max_items = max_items
        self._out: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def put(self, key: str, data: bytes | None) -> None:
        """An upsert of ``items``; None delists."""
        if data is None:
            self._known.pop(key, None)
            self._leave_out(key)
        elif key in self._known or len(self._known) < self._max_items:
            item = _decoder.decode(data)
            self._known[item.item_id] = Title(item.title or item.item_id, next(iter(item.categories), ""))
            self._out.discard(item.item_id)
            if item.stock == 0:
                self._leave_out(item.item_id)

    def listable(self, item_id: str) -> bool:
        """Whether nothing is known against listing an item: it is not delisted, and not out of stock."""
        return item_id not in self._out

    def _leave_out(self, item_id: str) -> None:
        if len(self._out) < self._max_items:
            self._out.add(item_id)

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
