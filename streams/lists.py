"""Deciding on lists: gathered for a few milliseconds, scored in batches, logged first, published second."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

from schemas.events import Decision, encode_decision, encode_list
from schemas.heartbeats import KEY, Heartbeat
from schemas.recommendations import Recommendation
from schemas.settings import ListSettings
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

LAST_SECONDS = 5.0
"""For which what waits is still decided on when the process is told to end; its heir decides on the rest."""

MakeRequest = Callable[[Trigger], Any]
"""The engine's request for a trigger; None when its partition is no longer ours."""


class Asked(NamedTuple):
    """A trigger and the engine's request for it."""

    trigger: Trigger
    request: Any


class Made(NamedTuple):
    """A list and its bytes: encoded once for both topics."""

    recommendation: Recommendation
    encoded: bytes


class Lists:
    """Scores what the queue holds, and sees each list through to its reader.

    Parameters
    ----------
    make_request
        Joins a trigger with the user state of its partition.
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
        self._on_published = on_published
        self._tasks = tasks
        self._pace = pace
        self._observer = observer
        self._clock = clock
        self._crash = crash
        self._batches = 0
        self._open = 0
        self._ending = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Score batch after batch: the first list after a pause at once, the next ones gathered."""
        gathered = 0.0
        while True:
            await self._queue.some()
            if len(self._queue) < self._settings.batch:
                await asyncio.sleep(max(0.0, gathered - perf_counter()))
            await self._events.room()
            await self._recommendations.room()
            async with self._pace.heavy():
                if self._ending:
                    return
                self.decide(self._queue.take(self._settings.batch))
            gathered = perf_counter() + self._settings.gather_ms / 1000
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

    def decide(self, triggers: list[Trigger]) -> None:
        """Decide on one batch and send the decisions to their log."""
        now = self._clock()
        by_step: defaultdict[Step, list[Asked]] = defaultdict(list)
        for trigger in triggers:
            self._overload.note(trigger.waited(now, self._settings.deadline_ms))
            if not self._stale(trigger) and (request := self._make_request(trigger)) is not None:
                by_step[self._ladder.step(trigger, now)].append(Asked(trigger, request))
        by_partition: defaultdict[int, list[Decision]] = defaultdict(list)
        for step, asked in by_step.items():
            for (trigger, _), decision in zip(asked, self._draw(step, asked, now), strict=True):
                by_partition[trigger.partition].append(decision)
        if not by_partition:
            return
        for partition, made in by_partition.items():
            lists = [_encoded(d.recommendation) for d in made]
            logged = self._events.put(
                partition, [_logged(d, mine, now) for d, mine in zip(made, lists, strict=True)]
            )
            self._start(partition, lists, logged)
        self._crash(Point.DECISIONS_SENT)

    def _draw(self, step: Step, asked: "list[Asked]", now: int) -> list[Decision]:
        """Score and draw lists of one rung."""
        started = perf_counter()
        self._batches += 1
        with self._turn.first():
            decisions = self._engine.recommend(
                [one.request for one in asked],
                now=now,
                seed=now << 20 | self._batches,
                rung=step[0],
                cause=step[1],
                explain=self._overload.explanations,
            )
        seconds = perf_counter() - started
        self._ladder.took(step, seconds)
        self._observer.on_batch(len(decisions), seconds)
        return decisions

    def publish(self, partition: int, found: list[Recommendation]) -> None:
        """Publish decisions that are in the log already, unchanged."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        self._start(partition, [_encoded(r) for r in found], done)

    def _start(self, partition: int, made: list[Made], logged: "asyncio.Future[None]") -> None:
        self._open += 1
        self._idle.clear()
        self._tasks.start(self._see_through(partition, made, logged))

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
        self._open -= 1
        if not self._open:
            self._idle.set()

    def _stale(self, trigger: Trigger) -> bool:
        if trigger.request is not None or self._clock() - trigger.arrived <= STALE_MS:
            return False
        self._observer.on_shed("stale", 1)
        self._on_published(trigger.partition, trigger.trigger_id)
        return True


def _encoded(recommendation: Recommendation) -> Made:
    return Made(recommendation, encode_list(recommendation))


def _logged(decision: Decision, made: Made, now: int) -> Outgoing:
    return Outgoing(decision.user_id.encode(), encode_decision(decision, made.encoded), timestamp=now)


def _published(made: Made, now: int) -> Outgoing:
    return Outgoing(made.recommendation.user_id.encode(), made.encoded, timestamp=now)
