"""A log, event by event, with what the protocol must know of each."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class LogEvent(NamedTuple):
    """One line of a log: ``t`` in seconds."""

    user: str
    item: str
    t: float
    value: float = 1.0


class Step(NamedTuple):
    """One event of the walk.

    Attributes
    ----------
    number
        Of the event, from 0.
    ask
        Whether it is a test.
    flags
        Membership of ``SEGMENTS`` from ``last50`` on.
    own
        Items that the person had before.
    tied
        Whether the person's event before was at the same time.
    """

    number: int
    event: LogEvent
    ask: bool
    flags: tuple[bool, ...]
    own: set[str]
    tied: bool

    @property
    def new(self) -> bool:
        """Whether it is the item's first event."""
        return self.flags[-1]


def in_order(events: Iterable[LogEvent]) -> list[LogEvent]:
    """By time; ties keep their order."""
    return sorted(events, key=lambda e: e.t)


def walk(events: Sequence[LogEvent], *, every: int = 1, keep_seen: bool = False) -> Iterator[Step]:
    """The protocol's bookkeeping.

    Examples
    --------
    >>> log = [LogEvent("ann", "tea", 1), LogEvent("ann", "tea", 2), LogEvent("bob", "tea", 3)]
    >>> [step.ask for step in walk(log)]
    [True, False, True]
    """
    half = len(events) // 2
    items: Counter[str] = Counter()
    people: Counter[str] = Counter()
    own: defaultdict[str, set[str]] = defaultdict(set)
    latest: dict[str, float] = {}
    for n, event in enumerate(events):
        cold_user, cold_item = people[event.user] < 3, items[event.item] < 5
        flags = (n >= half, cold_user, cold_item, not cold_user and not cold_item, items[event.item] == 0)
        ask = n % every == 0 and (keep_seen or event.item not in own[event.user])
        yield Step(n, event, ask, flags, own[event.user], latest.get(event.user) == event.t)
        items[event.item] += 1
        people[event.user] += 1
        own[event.user].add(event.item)
        latest[event.user] = event.t
