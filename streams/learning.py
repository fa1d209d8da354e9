"""The learner's process: folds the signals log once for all event processes of its host."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from schemas.settings import Settings
from schemas.topics import Topic, topic_name
from streams.app import wall_clock
from streams.arena import ArenaWriter, directory
from streams.learner import Learner, Snapshots, Turn
from streams.observer import StreamObserver
from streams.ports import EngineLike
from streams.publisher import Publisher
from streams.signals import SignalsTail
from streams.stall import Place, Stalls
from streams.tasks import end

ALONE_MS = 1000.0
"""A slice where no list waits: every cut of a block costs."""
GATHER_SHARE = 0.1
"""Of the time between two versions, in which blocks are gathered before they are read."""


class Learning:
    """Tails, folds, publishes, and writes snapshots: the only writer of its arena and its snapshots.

    Parameters
    ----------
    engine
        ``models.engine.Engine``; nobody asks it for lists.
    clock
        Milliseconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        engine: EngineLike,
        *,
        observer: StreamObserver,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._observer = observer
        self._arena = ArenaWriter(directory(settings), settings.kafka.namespace, clock)
        self._publisher: Publisher | None = None
        self._learner: Learner | None = None
        self.refused_snapshots: list[str] = []
        self.stalls = Stalls(settings.health.stuck_seconds, observer)

    @property
    def lag(self) -> int | None:
        """Blocks of the log that are not folded yet; None before the start."""
        return None if self._learner is None else self._learner.lag

    @property
    def unwritten(self) -> str | None:
        """Why the last snapshot is not on the disk."""
        return None if self._learner is None else self._learner.unwritten

    def why(self) -> str | None:
        """A readiness check: why nothing new is published."""
        return None if self._publisher is None else self._publisher.failure

    async def serve(self, stop: asyncio.Event, started: Callable[[], None] | None = None) -> None:
        """Learn until ``stop`` is set; a last snapshot is written then.

        Raises
        ------
        UnavailableError
            Another process is the learner of this arena.
        StreamwiseError
            The log has a gap, or is not the one that was learned from.
        """
        with self._arena:
            learner = self._learner = self._make()
            if started is not None:
                started()
            await _until(stop, learner.run(), self.stalls.watch(self._settings.kafka, self._positions))

    def _make(self) -> Learner:
        kafka, learner = self._settings.kafka, self._settings.learner
        snapshots = Snapshots(Path(learner.directory), kafka.namespace)
        offset, self.refused_snapshots = snapshots.newest(self._engine)
        floor = self._arena.offset
        if offset == 0:  # whatever was published is of a line that is not continued
            self._arena.clear()
        self._publisher = Publisher(
            self._engine, self._arena, seconds=learner.publish_seconds, floor=floor, observer=self._observer
        )
        tail = SignalsTail(kafka, offset, round(1000 * GATHER_SHARE * min(1.0, learner.publish_seconds)))
        alone = msgspec.structs.replace(learner, slice_ms=ALONE_MS)
        return Learner(self._engine, Turn(), tail, snapshots, alone, self._observer, self._publisher)

    def _positions(self) -> dict[Place, int]:
        signals = topic_name(Topic.SIGNALS, self._settings.kafka.namespace), 0
        return {} if self._learner is None else {signals: self._learner.next_offset}


async def _until(stop: asyncio.Event, *works: Coroutine[Any, Any, None]) -> None:
    """Run until told to stop, or until one of the works fails; all have ended then."""
    tasks = [asyncio.create_task(work) for work in (*works, _wait(stop))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = [task for task in tasks if task.done()]
        await end(*tasks)
    for task in ended:
        task.result()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()
