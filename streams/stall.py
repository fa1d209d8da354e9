"""Partitions that stand still while their log grows: noticed, named once in the log, and counted.

The ends of the logs are asked of the broker by a client of its own: a consumer that has stopped fetching
does not know that there is more.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import UnavailableError
from schemas.settings import KafkaSettings
from streams.kafka import reader
from streams.observer import StreamObserver

log = logging.getLogger(__name__)

Place = tuple[str, int]
"""Topic and partition."""

Positions = Mapping[Place, int]
"""Offset of the next record of each partition: everything below it is done for good."""

SHORTEST_LOOK, LONGEST_LOOK = 0.2, 10.0
CHECKPOINTS = 3
"""A position may follow a checkpoint: a partition is given so many before it counts as stuck."""


class Stuck(NamedTuple):
    """A partition that stands at ``offset`` since ``seconds``, while its log has grown to ``end``."""

    topic: str
    partition: int
    offset: int
    end: int
    seconds: float

    @property
    def words(self) -> str:
        """The stall as a sentence."""
        stands = f"stands at offset {self.offset} for {self.seconds:.0f} s"
        return f"{self.topic}/{self.partition} {stands} while its log grew to {self.end}"


@dataclass(slots=True)
class _Progress:
    offset: int
    end: int
    grown_at: float | None = None
    told: bool = False


class Stalls:
    """Compares how far partitions have come with how far their logs have grown.

    Parameters
    ----------
    limit
        Seconds that a position may stand still after its log has grown.

    Examples
    --------
    >>> from streams.observer import NullObserver
    >>> stalls = Stalls(60.0, NullObserver())
    >>> for now, end in ((0.0, 7), (10.0, 9), (75.0, 12)):
    ...     stalls.saw({("clicks", 3): 5}, {("clicks", 3): end}, now)
    >>> stalls.why()
    'clicks/3 stands at offset 5 for 65 s while its log grew to 12'
    """

    def __init__(self, limit: float, observer: StreamObserver) -> None:
        self._limit = limit
        self._observer = observer
        self._progress: dict[Place, _Progress] = {}
        self._stuck: list[Stuck] = []

    def saw(self, positions: Positions, ends: Mapping[Place, int], now: float) -> None:
        """Take one look.

        Parameters
        ----------
        positions
            Of the partitions that this process has now; others are forgotten.
        now
            Seconds, of a clock that never goes back.
        """
        for gone in self._progress.keys() - positions.keys():
            del self._progress[gone]
            self._observer.on_partition_gone(*gone)
        self._stuck = [
            stuck
            for place in positions.keys() & ends
            if (stuck := self._look(place, positions[place], ends[place], now))
        ]

    def why(self) -> str | None:
        """A readiness check: None, or which partition stands where."""
        return "; ".join(stuck.words for stuck in sorted(self._stuck)) or None

    def _look(self, place: Place, offset: int, end: int, now: float) -> Stuck | None:
        known = self._progress.get(place)
        if known is None or known.offset != offset or end <= offset:
            known = self._progress[place] = _Progress(offset, end)
        elif known.grown_at is None and end > known.end:
            known.grown_at = now
        seconds = 0.0 if known.grown_at is None else now - known.grown_at
        stuck = Stuck(*place, offset, end, seconds) if seconds >= self._limit else None
        self._observer.on_progress(*place, max(0, end - offset), seconds if stuck else 0.0)
        if stuck and not known.told:
            known.told = True
            log.error("stuck partition: %s", stuck.words)
        return stuck

    async def watch(self, kafka: KafkaSettings, positions: Callable[[], dict[Place, int]]) -> None:
        """Look at an interval, for ever; while the broker is away nothing can be seen."""
        pause = min(LONGEST_LOOK, max(SHORTEST_LOOK, self._limit / 6))
        while True:
            try:
                async with reader(kafka) as consumer:
                    while True:
                        await asyncio.sleep(pause)
                        mine = positions()
                        found = await consumer.end_offsets([TopicPartition(*place) for place in mine])
                        ends = {(tp.topic, tp.partition): end for tp, end in found.items()}
                        self.saw(mine, ends, monotonic())
            except (KafkaError, UnavailableError) as error:
                log.info("ends of the logs cannot be asked: %r", error)
                await asyncio.sleep(pause)
