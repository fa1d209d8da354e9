"""The last events as people see them, and how many of everything there are a second."""

from collections import OrderedDict, deque

import msgspec

SHOWN = 100
REMEMBERED = 20_000
MAX_BYTES = 32 << 20
OVERHEAD = 300
"""Bytes of an entry beside its texts, roughly."""
SECONDS = 10


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event of a person.

    Parameters
    ----------
    kind
        ``"click"``, ``"purchase"``, ``"impression"``, ``"request"``, or a feedback's own kind.
    seen
        The record's time in ``events``, ms.
    """

    event_id: str
    user_id: str
    kind: str
    item_id: str
    seen: int

    @property
    def size(self) -> int:
        """Bytes that it takes, roughly."""
        return OVERHEAD + len(self.event_id) + len(self.user_id) + len(self.item_id)


class Tape:
    """The newest events, newest first; impressions are remembered but not shown."""

    def __init__(
        self, shown: int = SHOWN, remembered: int = REMEMBERED, *, max_bytes: int = MAX_BYTES
    ) -> None:
        self._shown: deque[Entry] = deque(maxlen=shown)
        self._by_trigger: OrderedDict[str, Entry] = OrderedDict()
        self._remembered = remembered
        self._max_bytes = max_bytes
        self.size = 0

    def add(self, entry: Entry, trigger: str) -> bool:
        """Keep an event under the id that lists will name it by; False if it is a repeat."""
        if trigger in self._by_trigger:
            return False
        self._by_trigger[trigger] = entry
        self.size += entry.size
        while len(self._by_trigger) > self._remembered or self.size > self._max_bytes:
            self.size -= self._by_trigger.popitem(last=False)[1].size
        if entry.kind != "impression":
            self._shown.appendleft(entry)
        return True

    def newest(self, count: int) -> list[Entry]:
        """The newest events that are shown."""
        return [entry for entry, _ in zip(self._shown, range(count), strict=False)]

    def of(self, trigger: str) -> Entry | None:
        """The event that a list's ``trigger_id`` names, while it is remembered."""
        return self._by_trigger.get(trigger)

    def forget(self, user: str) -> None:
        """Drop everything that is held of a person."""
        kept = [entry for entry in self._shown if entry.user_id != user]
        self._shown = deque(kept, maxlen=self._shown.maxlen)
        for trigger in [t for t, entry in self._by_trigger.items() if entry.user_id == user]:
            self.size -= self._by_trigger.pop(trigger).size


class Rate:
    """How many a second, over the last full seconds.

    Examples
    --------
    >>> rate = Rate(seconds=2)
    >>> for ms in (0, 500, 1_000, 1_500, 1_600, 2_100):
    ...     rate.add(ms)
    >>> rate.per_second(2_200)
    2.5
    """

    def __init__(self, seconds: int = SECONDS) -> None:
        self._counts: deque[tuple[int, int]] = deque(maxlen=seconds + 1)
        self._seconds = seconds
        self.total = 0

    def add(self, now: int, count: int = 1) -> None:
        """``count`` more at ``now`` (ms)."""
        second = now // 1000
        self.total += count
        if self._counts and self._counts[-1][0] >= second:
            last, before = self._counts.pop()
            self._counts.append((last, before + count))
        else:
            self._counts.append((second, count))

    def per_second(self, now: int) -> float:
        """Mean over the window that ends with the last full second."""
        second = now // 1000
        counted = sum(n for at, n in self._counts if second - self._seconds <= at < second)
        return counted / self._seconds
