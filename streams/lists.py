"""Deciding on lists: gathered for a few milliseconds, scored in batches, logged first, published second."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import NamedTuple

from models.requests import Batch, ListRequest
from schemas.events import Decision, encode_decision, encode_list
from schemas.heartbeats import KEY, Heartbeat
from schemas.recommendations import Recommendation
from schemas.settings import LARGEST_BATCH, ListSettings
from streams.crash import CrashPoint
from streams.crash import Step as Point
from streams.ladder import Ladder, Step
from streams.learner import Turn
from streams.observer import StreamObserver
from streams.overload import Overload
from streams.pace import Pace
from streams.ports import EngineLike
from streams.tasks import Tasks
from streams.triggers import Trigger, TriggerQueue
from streams.writer import LogWriter, Outgoing

STALE_MS = 60_000
"""A push whose event came to the broker longer ago is shed: the person has moved on, and a replay must not
flood them."""

MANY = 4
"""Where more lists wait than so many batches, or than the largest batch, those are scored at once; not where
people's newer events replace those that wait, as that makes the same people's lists later."""

LAST_SECONDS = 5.0
"""For which what waits is still decided on when the process is told to end; its heir decides on the rest."""

MakeRequest = Callable[[Trigger], ListRequest | None]
"""The engine's request for a trigger; None when its partition is no longer ours."""


class Asked(NamedTuple):
    """A trigger and the engine's request for it."""

    trigger: Trigger
    request: ListRequest


class Made(NamedTuple):
    """A list and its bytes: encoded once for both topics."""

    recommendation: Recommendation
    encoded: bytes


class Drawn(NamedTuple):
    """A decision, and its list."""

    decision: Decision
    list: Made


class Lists:
    """Scores what the queue holds, and sees each list through to its reader.

    Parameters
    ----------
    make_request
        Joins a trigger with the user state of its partition.
    still_ours
        Whether that state is the partition's yet: the group may have rebalanced while a list was drawn.
    on_published
        Called with (partition, trigger id) when a list is acknowledged.
    """

    def __init__(
        self,
        engine: EngineLike,
        turn: Turn,
        queue: TriggerQueue,
        settings: ListSettings,
        *,
        ladder: Ladder,
        overload: Overload,
        events: LogWriter,
        recommendations: LogWriter,
        make_request: MakeRequest,
        still_ours: Callable[[Trigger, ListRequest], bool],
        on_published: Callable[[int, str], None],
        tasks: Tasks,
        pace: Pace,
        observer: StreamObserver,
        clock: Callable[[], int],
        crash: CrashPoint,
    ) -> None:
        self._engine = engine
        self._turn = turn
        self._queue = queue
        self._settings = settings
        self._ladder = ladder
        self._overload = overload
        self._events = events
        self._recommendations = recommendations
        self._make_request = make_request
        self._still_ours = still_ours
        self._on_published = on_published
        self._tasks = tasks
        self._pace = pace
        self._observer = observer
        self._clock = clock
        self._crash = crash
        self._batches = 0
        self._gathered = 0.0
        self._open = 0
        self._ending = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Score batch after batch: the first list after a pause at once, the next ones gathered."""
        while True:
            await self._queue.some()
            if len(self._queue) < self._settings.batch:
                await asyncio.sleep(max(0.0, self._gathered - perf_counter()))
            await self._events.room()
            await self._recommendations.room()
            if self._ending:
                return
            self._begin()
            self._gathered = perf_counter() + self._settings.gather_ms / 1000
            await self.decide()
            self._end()
            for partition, ts in self._queue.take_beats().items():
                self._pass_on(Heartbeat(partition, ts))

    def _pass_on(self, beat: Heartbeat) -> None:
        """Publish a heartbeat, behind the lists that were decided on before it."""
        landed = self._recommendations.put(beat.partition, [Outgoing(KEY, None, beat.headers())])
        topic = self._events.topic

        def told(done: "asyncio.Future[None]") -> None:
            if not done.cancelled() and done.exception() is None:
                self._observer.on_heartbeat("recommendations", topic, beat.partition, beat.ts)

        landed.add_done_callback(told)

    async def drained(self) -> None:
        """Decide on what waits, but not for long; wait until every list decided on is published."""
        last = perf_counter() + LAST_SECONDS
        while len(self._queue) and perf_counter() < last:  # noqa: ASYNC110  it empties in many places
            await asyncio.sleep(0.02)
        self._ending = True
        await self._idle.wait()

    async def decide(self) -> None:
        """Decide on one batch and send the decisions to their log."""
        now = self._clock()
        ready = self._ready(self._queue.take(self._count()), now)
        for step, (asked, batch) in ready.items():
            self._batches += 1
            started = perf_counter()
            drawn, seconds = await self._pace.aside(partial(self._draw, step, batch, self._batches))
            self._ladder.took(step, perf_counter() - started)
            self._observer.on_batch(len(drawn), seconds)
            self._log(asked, drawn, now)

    def _count(self) -> int:
        """How many lists the next batch takes: the thread waits for the interpreter per batch, not list."""
        many = min(MANY * self._settings.batch, LARGEST_BATCH)
        growing = len(self._queue) > many and not self._queue.coalesces
        return many if growing else self._settings.batch

    def _log(self, asked: list[Asked], drawn: list[Drawn], now: int) -> None:
        """Send decisions to their log, and see each through; what is not ours any more its heir decides."""
        by_partition: defaultdict[int, list[Drawn]] = defaultdict(list)
        for (trigger, request), one in zip(asked, drawn, strict=True):
            if self._still_ours(trigger, request):
                by_partition[trigger.partition].append(one)
        for partition, made in by_partition.items():
            logged = self._events.put(partition, [_logged(one, now) for one in made])
            self._start(partition, [one.list for one in made], logged)
        if by_partition:
            self._crash(Point.DECISIONS_SENT)

    def _ready(self, triggers: list[Trigger], now: int) -> dict[Step, tuple[list[Asked], Batch]]:
        """What each rung has to make, with all that it needs of user state."""
        by_step: defaultdict[Step, list[Asked]] = defaultdict(list)
        for trigger in triggers:
            self._overload.note(trigger.waited(now, self._settings.deadline_ms))
            if not self._stale(trigger) and (request := self._make_request(trigger)) is not None:
                by_step[self._ladder.step(trigger, now)].append(Asked(trigger, request))
        return {
            step: (asked, Batch.of([one.request for one in asked], now)) for step, asked in by_step.items()
        }

    def _draw(self, step: Step, batch: Batch, number: int) -> tuple[list[Drawn], float]:
        """Score and draw lists of one rung, on the kernels' thread; and how long that took, seconds."""
        started = perf_counter()
        with self._turn.first():
            decisions = self._engine.draw(
                batch,
                seed=batch.now << 20 | number,
                rung=step[0],
                cause=step[1],
                explain=self._overload.explanations,
            )
        drawn = [Drawn(d, _encoded(d.recommendation)) for d in decisions]
        return drawn, perf_counter() - started

    def publish(self, partition: int, found: list[Recommendation]) -> None:
        """Publish decisions that are in the log already, unchanged."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        self._start(partition, [_encoded(r) for r in found], done)

    def _start(self, partition: int, made: list[Made], logged: "asyncio.Future[None]") -> None:
        self._begin()
        self._tasks.start(self._see_through(partition, made, logged))

    def _begin(self) -> None:
        self._open += 1
        self._idle.clear()

    def _end(self) -> None:
        self._open -= 1
        if not self._open:
            self._idle.set()

    async def _see_through(self, partition: int, made: list[Made], logged: "asyncio.Future[None]") -> None:
        await logged
        self._crash(Point.DECISIONS_LANDED)
        now = self._clock()
        published = self._recommendations.put(partition, [_published(mine, now) for mine in made])
        self._crash(Point.RECOMMENDATIONS_SENT)
        await published
        now = self._clock()
        for recommendation, _ in made:
            self._on_published(partition, recommendation.trigger_id)
            event_ts = recommendation.timings.event or recommendation.ts
            self._observer.on_list(recommendation.rung, max(0.0, (now - event_ts) / 1000))
            for cause in (recommendation.cause, *recommendation.without):
                if cause is not None:
                    self._observer.on_degraded(recommendation.rung, cause)
        self._end()

    def _stale(self, trigger: Trigger) -> bool:
        if trigger.request is not None or self._clock() - trigger.arrived <= STALE_MS:
            return False
        self._observer.on_shed("stale", 1)
        self._on_published(trigger.partition, trigger.trigger_id)
        return True


def _encoded(recommendation: Recommendation) -> Made:
    return Made(recommendation, encode_list(recommendation))


def _logged(drawn: Drawn, now: int) -> Outgoing:
    decision, mine = drawn
    return Outgoing(decision.user_id.encode(), encode_decision(decision, mine.encoded), timestamp=now)


def _published(made: Made, now: int) -> Outgoing:
    return Outgoing(made.recommendation.user_id.encode(), made.encoded, timestamp=now)
