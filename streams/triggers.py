"""What waits for a list: earliest deadline first, one pending push per person.

A request is answered for itself.  A person's new event replaces the push that they still wait for, and
keeps its deadline, so nobody is passed over for ever.  Too many pushes are shed and counted; requests
hold the stream back instead (``room``).
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from schemas.events import Click, Event, Feedback, Purchase, Request
from streams.observer import StreamObserver


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
        On the same clock as ``now`` of the queue, ms.
    request
        None for a push.
    event_ts
        When the event happened, by the clock of who saw it, ms.
    arrived
        When it came, by the broker's clock, ms.
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


def trigger_of(
    event: Event, partition: int, offset: int, *, deadline: float, arrived: int, pushes: bool
) -> Trigger | None:
    """The list that an event asks for, if any."""
    if isinstance(event, Request):
        trigger_id, asked = event.request_id, event
    elif pushes and isinstance(event, Click | Purchase | Feedback):
        trigger_id, asked = event.event_id, None
    else:
        return None
    user, surface = event.user_id, event.surface
    return Trigger(trigger_id, user, partition, offset, deadline, event.ts, arrived, surface, asked)


Key = tuple[int, str, str]


def _key(trigger: Trigger) -> Key:
    kind = trigger.trigger_id if trigger.request is not None else ""
    return trigger.partition, trigger.user_id, kind


class TriggerQueue:
    """Pending triggers of all partitions of a worker.

    Parameters
    ----------
    limit
        Pushes above it are shed; requests above it make ``room`` wait.
    on_closed
        Called with each trigger that will get no list: superseded or shed.
    """

    def __init__(self, limit: int, on_closed: Callable[[Trigger], None], observer: StreamObserver) -> None:
        self._limit = limit
        self._on_closed = on_closed
        self._observer = observer
        self._heap: list[tuple[float, int, Key]] = []
        self._pending: dict[Key, Trigger] = {}
        self._order = 0
        self._beats: dict[int, int] = {}
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, trigger: Trigger) -> None:
        """Add a trigger; a push replaces the person's pending one."""
        key = _key(trigger)
        former = self._pending.get(key)
        if former is not None:
            self._pending[key] = trigger
            if former.trigger_id != trigger.trigger_id:
                self._close(former, "superseded")
            return
        if trigger.request is None and len(self._pending) >= self._limit:
            self._close(trigger, "overload")
            return
        self._pending[key] = trigger
        self._order += 1
        heapq.heappush(self._heap, (trigger.deadline, self._order, key))
        self._some.set()
        if len(self._pending) > self._limit:
            self._room.clear()

    def take(self, count: int) -> list[Trigger]:
        """Up to ``count`` triggers, the most urgent first."""
        taken: list[Trigger] = []
        while self._heap and len(taken) < count:
            _, _, key = heapq.heappop(self._heap)
            if (trigger := self._pending.pop(key, None)) is not None:
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
        self._heap = [entry for entry in self._heap if entry[2] in self._pending]
        heapq.heapify(self._heap)
        self._beats = {p: ts for p, ts in self._beats.items() if p not in gone}
        self._settle()

    async def some(self) -> None:
        """Wait until a trigger is pending."""
        await self._some.wait()

    async def room(self) -> None:
        """Wait until no more than ``limit`` are pending."""
        await self._room.wait()

    def _settle(self) -> None:
        if not self._pending and not self._beats:
            self._some.clear()
        if len(self._pending) <= self._limit:
            self._room.set()

    def _close(self, trigger: Trigger, reason: str) -> None:
        self._observer.on_shed(reason, 1)
        self._on_closed(trigger)
