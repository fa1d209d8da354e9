"""The newest list of each person and the one before it, and answers to special requests, bounded by bytes."""

from collections import OrderedDict

import msgspec

from schemas.recommendations import Recommendation

MAX_BYTES = 64 << 20
OVERHEAD = 200
"""Bytes of dictionary and objects beside the message itself, roughly."""

GENERAL = ""
"""In the place of a trigger: the newest list, which answers nothing in particular."""

_decoder = msgspec.json.Decoder(Recommendation)


class _Head(msgspec.Struct, frozen=True):
    decision_id: str
    trigger_id: str
    user_id: str
    surface: str
    restricted: bool = False


_head_decoder = msgspec.json.Decoder(_Head)


class Change(msgspec.Struct, frozen=True):
    """A person's newest list beside the one that it replaced.

    Parameters
    ----------
    stood
        Since when the newer one stands in ``recommendations``, ms.
    """

    before: Recommendation | None
    after: Recommendation
    stood: int

    def move_of(self, item_id: str, position: int) -> int | None:
        """Places that an item of the newer list rose (negative: fell); None if it is new.

        Examples
        --------
        >>> from schemas.recommendations import RecommendedItem
        >>> def listed(*ids):
        ...     items = (RecommendedItem(item_id=x, position=i, score=1.0, propensity=1.0, parts={})
        ...              for i, x in enumerate(ids))
        ...     return Recommendation(decision_id="d", trigger_id="t", user_id="u", ts=0, surface="home",
        ...                           items=tuple(items), arm="treatment", policy="p", epoch=0, model="m")
        >>> change = Change(listed("a", "b"), listed("b", "c"), 0)
        >>> change.move_of("b", 0), change.move_of("c", 1)
        (1, None)
        """
        for old in self.before.items if self.before else ():
            if old.item_id == item_id:
                return old.position - position
        return None


class ListCache:
    """Newest and former list by person and surface, kept as bytes.

    A list that answers a request with candidates, filters or a query is kept beside them, under its trigger:
    it answers that request again, and stands for no other list.

    Parameters
    ----------
    max_bytes
        Above it the lists that changed longest ago are dropped.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes}")
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str, str], tuple[bytes | None, bytes, int, _Head]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._bytes

    def add(self, data: bytes, stood: int) -> bool:
        """Keep a message of ``recommendations``; False if it repeats what is held.

        The first list of a trigger counts: a second one for the same trigger, and one that was
        published again, change nothing.
        """
        head = _head_decoder.decode(data)
        key = (head.user_id, head.surface, head.trigger_id if head.restricted else GENERAL)
        held = self._kept.pop(key, None)
        if held is not None and held[3].trigger_id == head.trigger_id:
            self._kept[key] = held
            return False
        self._bytes += len(data) + (OVERHEAD if held is None else -len(held[0] or b""))
        self._kept[key] = (held[1] if held else None, data, stood, head)
        while self._bytes > self._max_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))
        return True

    def change(self, user: str, surface: str = "home") -> Change | None:
        """The person's newest list and the one before."""
        held = self._kept.get((user, surface, GENERAL))
        if held is None:
            return None
        before, after, stood, _ = held
        return Change(_decoder.decode(before) if before else None, _decoder.decode(after), stood)

    def newest(self, user: str, surface: str = "home") -> Recommendation | None:
        """The person's newest list."""
        held = self._kept.get((user, surface, GENERAL))
        return _decoder.decode(held[1]) if held else None

    def answer(self, user: str, surface: str, trigger: str) -> Recommendation | None:
        """The list that answered a request, while it is the newest or, of a special request, is held."""
        for key in ((user, surface, trigger), (user, surface, GENERAL)):
            held = self._kept.get(key)
            if held is not None and held[3].trigger_id == trigger:
                return _decoder.decode(held[1])
        return None

    def version(self, user: str, surface: str = "home") -> str:
        """The decision id of the newest list; empty if there is none."""
        held = self._kept.get((user, surface, GENERAL))
        return held[3].decision_id if held else ""

    def forget(self, user: str) -> None:
        """Drop everything that is held of a person."""
        for key in [k for k in self._kept if k[0] == user]:
            self._drop(key)

    def _drop(self, key: tuple[str, str, str]) -> None:
        before, after, _, _ = self._kept.pop(key)
        self._bytes -= len(before or b"") + len(after) + OVERHEAD
