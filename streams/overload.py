"""Overload, measured: how long lists wait against how long they may, and how late the event loop turns.

Four things are given up, the cheapest to miss first: explanations, new vectors (re-encoding), pushed
lists that come late, and at last all pushed lists and the whole computation of requested ones, which come
from a cheaper rung then.  (First only the late ones: to shed all pushes would leave a worker idle that can
make most of them, and would end in swings between all and nothing.)  A level
is entered when the pressure has been above its threshold at two looks in a row, and left, one level at a
time, after a calm spell well below it; a level that is entered again soon after keeps twice as long.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from time import monotonic

from streams.observer import StreamObserver

LOOK_SECONDS = 0.25
CALM_LOOKS = 12
LONGEST_CALM = 240
"""Looks: a minute."""
RELIEF = 0.5
"""Below this share of a level's threshold it is calm."""


class Level(IntEnum):
    """What is given up: this, and everything of a lower level."""

    NOTHING = 0
    EXPLANATIONS = 1
    VECTORS = 2
    PUSHES = 3
    REQUESTS = 4


THRESHOLDS = {Level.EXPLANATIONS: 0.4, Level.VECTORS: 0.6, Level.PUSHES: 0.8, Level.REQUESTS: 1.2}
"""Share of the time that a list has, spent waiting."""

FRESH = RELIEF * THRESHOLDS[Level.PUSHES]
"""Share of its time that a push may have waited to be made all the same while late ones are shed: as long as
some are, it is not calm."""

WORDS = {
    Level.PUSHES: "pushed lists that come late are shed",
    Level.REQUESTS: "pushed lists are shed, requested ones come from a cheaper rung",
}


class Overload:
    """The level of one process.

    Examples
    --------
    >>> from streams.observer import NullObserver
    >>> overload = Overload(NullObserver())
    >>> for pressure in (0.9, 0.9):
    ...     overload.note(pressure)
    ...     overload.look()
    >>> overload.level.name, overload.pushes, overload.why()
    ('PUSHES', False, 'overload level 3: pushed lists that come late are shed')
    """

    def __init__(self, observer: StreamObserver) -> None:
        self._observer = observer
        self._pressure = self._before = 0.0
        self._calm = 0
        self._patience = CALM_LOOKS
        self._since_fall = LONGEST_CALM
        self.level = Level.NOTHING

    @property
    def pressure(self) -> float:
        """The longest wait (of a list or the loop) before the last look, as a share of what a list has."""
        return self._before

    @property
    def explanations(self) -> bool:
        """Whether lists name the past items that spoke for them."""
        return self.level < Level.EXPLANATIONS

    @property
    def vectors(self) -> bool:
        """Whether new vectors are taken into the models."""
        return self.level < Level.VECTORS

    @property
    def pushes(self) -> bool:
        """Whether lists that nobody asked for are made however late."""
        return self.level < Level.PUSHES

    def sheds(self, waited: float) -> bool:
        """Whether a push that has waited for this share of its time gets no list; it counts as pressure."""
        if self.pushes or (self.requests and waited < FRESH):
            return False
        self.note(waited)
        return True

    @property
    def requests(self) -> bool:
        """Whether requested lists are made in full."""
        return self.level < Level.REQUESTS

    def why(self) -> str | None:
        """A readiness check: None while every kind of list is made in full."""
        return f"overload level {self.level.value}: {WORDS[self.level]}" if self.level in WORDS else None

    def note(self, pressure: float) -> None:
        """Something has waited for this share of its time; until the next look the most counts."""
        self._pressure = max(self._pressure, pressure)

    def look(self) -> None:
        """Judge what was noted since the last look."""
        pressure, self._pressure = self._pressure, 0.0
        lasting, self._before = min(pressure, self._before), pressure
        self._since_fall += 1
        wanted = max(
            (level for level, least in THRESHOLDS.items() if lasting >= least), default=Level.NOTHING
        )
        if wanted > self.level:
            again = self._since_fall < 2 * self._patience
            self._patience = min(LONGEST_CALM, 2 * self._patience) if again else CALM_LOOKS
            self._move(wanted)
        elif self.level and pressure < RELIEF * THRESHOLDS[self.level]:
            self._calm += 1
            if self._calm >= self._patience:
                self._since_fall = 0
                self._move(Level(self.level - 1))
        else:
            self._calm = 0

    def _move(self, level: Level) -> None:
        self.level = level
        self._calm = 0
        self._observer.on_overload(level.value)

    async def run(self, waiting: Callable[[], float], patience_seconds: float) -> None:
        """Look four times a second, for ever.

        Parameters
        ----------
        waiting
            Pressure of what is waiting now.
        patience_seconds
            A loop that turns so late is as bad as a list that has waited for all its time.
        """
        while True:
            due = monotonic() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            self.note(max(0.0, monotonic() - due) / patience_seconds)
            self.note(waiting())
            self.look()
