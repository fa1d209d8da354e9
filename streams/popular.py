"""The file of what is popular: kept beside the snapshots, and read where the models are missing.

A stream process whose models could not be restored serves from it until they are learned again; the API
serves from it while no stream answers.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from schemas.errors import SnapshotError
from schemas.popular import FILE, PopularLists, decode_popular, encode_popular
from streams.guardrail import Progress
from streams.learner import Turn
from streams.pace import Pace

log = logging.getLogger(__name__)

CAUGHT_UP_BLOCKS = 10
LOOK_SECONDS = 1.0


class Popularises(Protocol):
    """What the keeper needs of the engine."""

    def popular(self, *, now: int) -> PopularLists:
        """What is popular now."""

    def fall_back(self, lists: PopularLists | None) -> None:
        """Let these stand in for what is learned; None: no longer."""


def path_of(directory: str, namespace: str) -> Path:
    """Where the file of a deployment is.

    Examples
    --------
    >>> path_of("snapshots", "").as_posix(), path_of("snapshots", "shop-a").as_posix()
    ('snapshots/popular.json', 'snapshots/shop-a.popular.json')
    """
    return Path(directory) / (f"{namespace}.{FILE}" if namespace else FILE)


def read(path: Path) -> PopularLists | None:
    """The file's lists; None where there is none that can be read."""
    try:
        return decode_popular(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, SnapshotError) as error:
        log.warning("what is popular cannot be read: %s", error)
        return None


def write(path: Path, lists: PopularLists) -> None:
    """Replace the file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.write_bytes(encode_popular(lists))
    draft.replace(path)


class Popular:
    """Keeps the file of one process, and lets it stand in for models that are not there.

    Attributes
    ----------
    stands_in
        Whether lists are made from the file now.
    """

    def __init__(
        self, path: Path, engine: Popularises, turn: Turn, pace: Pace, clock: Callable[[], int]
    ) -> None:
        self._path = path
        self._pace = pace
        self._engine = engine
        self._turn = turn
        self._clock = clock
        self.stands_in = False

    def stand_in(self) -> None:
        """Nothing was restored: serve from the file, if there is one."""
        lists = read(self._path)
        if lists is not None and lists.everybody:
            self._engine.fall_back(lists)
            self.stands_in = True

    async def keep(self, learner: Progress, seconds: float) -> None:
        """Write the file every so many seconds; step back when the learner has caught up; for ever."""
        waited = 0.0
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, seconds))
            waited += min(LOOK_SECONDS, seconds)
            if self.stands_in:
                await self._step_back(learner)
            elif waited >= seconds:
                waited = 0.0
                await self._write()

    async def _step_back(self, learner: Progress) -> None:
        if learner.next_offset > 0 and learner.lag < CAUGHT_UP_BLOCKS:
            await self._pace.aside(lambda: self._engine.fall_back(None))
            self.stands_in = False

    def _popular(self) -> PopularLists:
        with self._turn.first():
            return self._engine.popular(now=self._clock())

    async def _write(self) -> None:
        lists = await self._pace.aside(self._popular)
        if not lists.everybody:
            return
        try:
            await asyncio.to_thread(write, self._path, lists)
        except OSError as error:  # the one of before is still there; the learner says that the disk is full
            log.warning("what is popular cannot be written: %s", error)
