"""When the learner publishes: at an interval, stretched so that it takes a small share of its time."""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from models.fold import Lent
from streams.arena import ArenaWriter
from streams.observer import StreamObserver

log = logging.getLogger(__name__)

SHARE = 0.05
"""Of the learner's time, at most."""


class Lends(Protocol):
    """What the publisher needs of the engine."""

    def lend(self) -> Lent:
        """All folds as they stand."""


class Publisher:
    """Publishes what is new, and beats when nothing is; called by the learner between two blocks.

    Parameters
    ----------
    seconds
        Between two versions.
    floor
        Versions up to here are there already: less than that is not published, unless the log is shorter.
    clock
        Seconds, of a clock that never goes back.
    """

    def __init__(
        self,
        engine: Lends,
        writer: ArenaWriter,
        *,
        seconds: float,
        floor: int,
        observer: StreamObserver,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._seconds = seconds
        self._floor = floor
        self._observer = observer
        self._clock = clock
        self._due = self._beat_due = float("-inf")
        self._offset = -1
        self.failure: str | None = None

    def __call__(self, offset: int, end: int) -> None:
        """Publish, beat, or do nothing: whatever is due when the log is learned up to ``offset``."""
        now = self._clock()
        try:
            if now >= self._due and offset != self._offset and offset >= min(self._floor, end):
                self._publish(offset, end, now)
            elif now >= self._beat_due:
                self._writer.beat(end)
                self._beat_due = now + self._seconds
        except OSError as error:  # readers go on with what they have; the log is learned meanwhile
            if self.failure is None:
                log.error("models cannot be published: %s", error)  # noqa: TRY400  the sentence says it
            self.failure = f"models cannot be published: {error}"
            self._due = self._beat_due = now + self._seconds

    def _publish(self, offset: int, end: int, now: float) -> None:
        size = self._writer.publish(self._engine.lend(), offset, end)
        self.failure = None
        self._offset, self._floor = offset, 0
        spent = self._clock() - now
        self._due = now + spent + max(self._seconds, spent * (1.0 - SHARE) / SHARE)
        self._beat_due = now + self._seconds
        self._observer.on_published(offset, size, spent)
