"""The event process' side of a shared learner: it adopts the newest version, and knows how old it is."""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Protocol

from models.fold import Lent
from schemas.errors import SnapshotError
from schemas.settings import LearnerSettings
from streams.arena import ArenaReader, Current
from streams.learner import Turn
from streams.observer import StreamObserver
from streams.pace import Pace

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1


class Borrows(Protocol):
    """What adopting needs of the engine."""

    def adopt(self, lent: Lent) -> None:
        """Read from now on what another engine lent."""


class SharedModels:
    """Follows the versions of an arena; stands where an inline learner stands.

    Parameters
    ----------
    clock
        Milliseconds since the epoch.
    """

    def __init__(
        self,
        engine: Borrows,
        turn: Turn,
        pace: Pace,
        reader: ArenaReader,
        settings: LearnerSettings,
        observer: StreamObserver,
        clock: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._turn = turn
        self._pace = pace
        self._reader = reader
        self._settings = settings
        self._observer = observer
        self._clock = clock
        self._file = ""
        self._end = 0
        self._written: int | None = None
        self._heard = float("-inf")
        self._refused: str | None = None
        self._held: Lent | None = None
        self._former: list[Lent | None] = []
        self.next_offset = 0
        self.unwritten: str | None = None  # snapshots are the learner's

    async def first(self) -> None:
        """Wait for models, but not for ever: without them lists are poor, without us there are none."""
        deadline = monotonic() + self._settings.wait_seconds
        self.look()
        while self._written is None and monotonic() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    async def run(self) -> None:
        """Adopt every new version until cancelled."""
        while True:
            await self._pace.aside(self.look)
            if self._former:  # unmapping hundreds of megabytes takes milliseconds, which a thread has
                await asyncio.to_thread(self._former.clear)
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Adopt what is new."""
        found = self._reader.look()
        if found is not None:
            self._hear(found)
            if found.file != self._file:
                self._adopt(found)
            self._observer.on_learner_lag(self.lag)
        if self._written is not None:
            self._observer.on_models_age(self.age)

    @property
    def lag(self) -> int:
        """Blocks of the log that are not in the models, as far as the learner has said."""
        return max(0, self._end - self.next_offset)

    @property
    def silent(self) -> float:
        """Seconds since the learner was heard of; for ever before the first version."""
        return float("inf") if self._written is None else monotonic() - self._heard

    @property
    def age(self) -> float:
        """Seconds since the models were published."""
        return float("inf") if self._written is None else max(0.0, (self._clock() - self._written) / 1000)

    def why(self) -> str | None:
        """A readiness check: None, or what is the matter with the models."""
        also = f"; {self._refused}" if self._refused else ""
        if self._written is None:
            return f"no models published yet in {self._reader.place}: is 'streamwise learn' running?{also}"
        if self.silent > self._settings.max_lag_seconds:
            return f"the learner is silent for {self.silent:.0f} s: the safe policy serves{also}"
        return self._refused

    def _hear(self, found: Current) -> None:
        """Note a beat; one that was there before us may be old."""
        late = 0.0 if self._heard > float("-inf") else max(0.0, (self._clock() - found.beat) / 1000)
        self._heard = monotonic() - late
        self._end = found.end

    def _adopt(self, found: Current) -> None:
        started = perf_counter()
        try:
            version, lent = self._reader.open(found)
            with self._turn.first():
                self._engine.adopt(lent)
        except SnapshotError as error:
            if self._refused != str(error):  # tried again at every beat, told once
                log.error("models refused: %s", error)  # noqa: TRY400  a sentence; the trace says nothing more
            self._refused = str(error)
            return
        self._file, self._refused = found.file, None
        self._former.append(self._held)
        self._held = lent
        self._written, self.next_offset = version.written, version.offset
        self._observer.on_adopted(version.offset, version.rows, perf_counter() - started)
