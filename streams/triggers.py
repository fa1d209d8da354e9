"""What waits for a list: earliest deadline first, one pending push per person.

A request is answered for itself.  A person's new event replaces the push that they still wait for, and
keeps its deadline, so nobody is passed over for ever.  Too many pushes are shed and counted; requests
hold the stream back instead (``room``).
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from schemas.events import AnyEvent, Click, Feedback, Purchase, Request
from streams.observer import StreamObserver

MAX_BYTES = 32 << 20
TRIGGER_BYTES = 600
STRING_BYTES = 60
PUSH_PATIENCE = 2.0
REMEMBERED = 256
"""Triggers over which the share of those that had replaced another is averaged, the latest counting most."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A list that is due.

    Parameters
    ----------
    trigger_id
        ``event_id`` or ``request_id``: what the list answers.
    offset
        Of the event in its ``events`` partition.
    deadline
        When a whole list is of no use any more, on the worker's clock, ms.
    request
        None for a push.
    event_ts
        When the event happened, by the clock of who saw it, ms.
    arrived
        When it came, by the broker's clock, ms.
    since
        When it came to this worker, by the worker's clock, ms.
    """

    trigger_id: str
    user_id: str
    partition: int
    offset: int
    deadline: float
    event_ts: int
    arrived: int
    surface: str
    request: Request | None = None
    since: float = 0.0

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits, roughly."""
        asked = self.request
        size = TRIGGER_BYTES + len(self.trigger_id) + len(self.user_id) + len(self.surface)
        if asked is not None:
            size += sum(STRING_BYTES + len(item) for item in asked.candidates or ())
            size += sum(2 * STRING_BYTES + len(k) + len(v) for k, v in (asked.filters or {}).items())
            size += len(asked.query or "")
        return size

    def waited(self, now: float, deadline_ms: float) -> float:
        """How long it waits, as a share of what the deployment allows: a hasty asker is no overload."""
        patience = deadline_ms if self.request is not None else PUSH_PATIENCE * deadline_ms
        return (now - self.since) / patience

    def renewed(self, now: float) -> "Trigger":
        """The same one as if it had come to this worker now: a replay has held it back."""
        return replace(self, since=now, deadline=now + self.deadline - self.since)


def trigger_of(
    event: AnyEvent,
    partition: int,
    offset: int,
    *,
    arrived: int,
    since: float,
    deadline_ms: float,
    pushes: bool,
) -> Trigger | None:
    """The list that an event asks for, if any.

    Parameters
    ----------
    arrived, since
        When it came, by the broker's clock, and when to this worker, by the worker's, ms.
    deadline_ms
        For how long a whole list is wanted, where a request does not say so itself.  A push has twice as
        long: nobody waits for it, so requests go first.
    """
    if isinstance(event, Request):
        trigger_id, asked, patience = event.request_id, event, event.deadline_ms or deadline_ms
    elif pushes and isinstance(event, Click | Purchase | Feedback):
        trigger_id, asked, patience = event.event_id, None, PUSH_PATIENCE * deadline_ms
    else:
        return None
    user, surface, due = event.user_id, event.surface, since + patience
    return Trigger(trigger_id, user, partition, offset, due, event.ts, arrived, surface, asked, since)


Key = tuple[int, str, str]


def _key(trigger: Trigger) -> Key:
    kind = trigger.trigger_id if trigger.request is not None else ""
    return trigger.partition, trigger.user_id, kind


class TriggerQueue:
    """Pending triggers of all partitions of a worker.

    Parameters
    ----------
    limit, max_bytes
        Pushes above either are shed; requests above it make ``room`` wait.
    on_closed
        Called with each trigger that will get no list: superseded or shed.
    sheds
        Whether a push whose turn comes gets no list, because it has waited for too long.
    """

    def __init__(
        self,
        limit: int,
        on_closed: Callable[[Trigger], None],
        observer: StreamObserver,
        *,
        max_bytes: int = MAX_BYTES,
        sheds: Callable[[Trigger], bool] = lambda _: False,
    ) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._sheds = sheds
        self._bytes = 0
        self._on_closed = on_closed
        self._observer = observer
        self._heap: list[tuple[float, int, Key]] = []
        self._pending: dict[Key, Trigger] = {}
        self._order = 0
        self._renewed: set[Key] = set()
        self._coalesced = 0.0
        self._beats: dict[int, int] = {}
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def coalesces(self) -> bool:
        """Whether most pushes are replaced before their turn: what waits grows with people, not with load."""
        return self._coalesced > 0.5

    def waited(self, now: float, deadline_ms: float) -> float:
        """How long the most urgent trigger waits, as ``Trigger.waited``; 0: none is waiting."""
        while self._heap and self._heap[0][2] not in self._pending:
            heapq.heappop(self._heap)
        return self._pending[self._heap[0][2]].waited(now, deadline_ms) if self._heap else 0.0

    def put(self, trigger: Trigger) -> None:
        """Add a trigger; a push replaces the person's pending one."""
        key = _key(trigger)
        former = self._pending.get(key)
        if former is not None:
            self._pending[key] = trigger
            self._renewed.add(key)
            self._bytes += trigger.size - former.size
            if former.trigger_id != trigger.trigger_id:
                self._close(former, "superseded")
            return
        full = len(self._pending) >= self._limit or self._bytes >= self._max_bytes
        if trigger.request is None and full:
            self._close(trigger, "overload")
            return
        self._pending[key] = trigger
        self._bytes += trigger.size
        self._order += 1
        heapq.heappush(self._heap, (trigger.deadline, self._order, key))
        self._some.set()
        self._settle()

    def take(self, count: int) -> list[Trigger]:
        """Up to ``count`` triggers, the most urgent first."""
        taken: list[Trigger] = []
        while self._heap and len(taken) < count:
            _, _, key = heapq.heappop(self._heap)
            if (trigger := self._pending.pop(key, None)) is None:
                continue
            self._bytes -= trigger.size
            self._coalesced += ((key in self._renewed) - self._coalesced) / REMEMBERED
            self._renewed.discard(key)
            if trigger.request is None and self._sheds(trigger):
                self._close(trigger, "overload")
            else:
                taken.append(trigger)
        self._settle()
        return taken

    def beat(self, partition: int, ts: int) -> None:
        """A heartbeat waits with the triggers; a newer one replaces it."""
        self._beats[partition] = ts
        self._some.set()

    def take_beats(self) -> dict[int, int]:
        """Heartbeats that wait: partition to the time when they set out."""
        taken, self._beats = self._beats, {}
        self._settle()
        return taken

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget triggers of partitions that are no longer ours: their owner finds them in the log."""
        gone = set(partitions)
        self._pending = {k: t for k, t in self._pending.items() if t.partition not in gone}
        self._renewed &= self._pending.keys()
        self._heap = [entry for entry in self._heap if entry[2] in self._pending]
        heapq.heapify(self._heap)
        self._bytes = sum(t.size for t in self._pending.values())
        self._beats = {p: ts for p, ts in self._beats.items() if p not in gone}
        self._settle()

    async def some(self) -> None:
        """Wait until a trigger is pending."""
        await self._some.wait()

    async def room(self) -> None:
        """Wait until no more than the limits are pending."""
        await self._room.wait()

    def _settle(self) -> None:
        if not self._pending and not self._beats:
            self._some.clear()
        if len(self._pending) <= self._limit and self._bytes <= self._max_bytes:
            self._room.set()
        else:
            self._room.clear()

    def _close(self, trigger: Trigger, reason: str) -> None:
        self._observer.on_shed(reason, 1)
        self._on_closed(trigger)
