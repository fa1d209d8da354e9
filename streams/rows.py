"""Rows on their way into the signals log: gathered over several runs, appended as one block.

A list waits for nothing here: state is applied at once, while rows (and the probes among them, which are
scored with the contexts that were kept) may follow a moment later.  Small runs then share one block, one
batch of probes and one request to the broker, and the learner folds fewer and larger blocks.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from models.users.applied import Applied, joined
from schemas.signals import Cover, SignalBlock
from streams.learner import Turn
from streams.observer import StreamObserver
from streams.pace import Pace
from streams.ports import EngineLike
from streams.signals import SignalsWriter

GATHER_SECONDS = 0.25
"""How long the first row waits for others."""
ENOUGH = 500
"""Events whose rows wait for no others."""


class Rows:
    """Rows of one partition.

    Parameters
    ----------
    cover
        End of the last block in the log: offsets up to it are accounted for.
    on_beat
        Told of a heartbeat whose block is on its way: when it set out, the block's last offset, and the
        future of its acknowledgement.

    Attributes
    ----------
    cover
        As above, of now.
    landing
        Futures of blocks that no checkpoint has waited for.
    """

    def __init__(
        self,
        partition: int,
        engine: EngineLike,
        turn: Turn,
        pace: Pace,
        signals: SignalsWriter,
        observer: StreamObserver,
        on_beat: Callable[[int, int, "asyncio.Future[None]"], None],
    ) -> None:
        self._partition = partition
        self._engine = engine
        self._turn = turn
        self._pace = pace
        self._in_order = asyncio.Lock()
        self._signals = signals
        self._observer = observer
        self._on_beat = on_beat
        self._gathered: list[Applied] = []
        self._events = self._to = self._beat = 0
        self._some = asyncio.Event()
        self.cover = -1
        self.landing: list[asyncio.Future[None]] = []

    def add(self, applied: Applied, to: int, beat: int) -> None:
        """What a run gave; ``to`` is its last offset, ``beat`` when its newest heartbeat set out, or 0."""
        self._gathered.append(applied)
        self._events += len(applied.events)
        self._to, self._beat = to, max(self._beat, beat)
        self._some.set()

    @property
    def enough(self) -> bool:
        """Whether what was gathered waits for no more."""
        return self._events >= ENOUGH

    async def append(self) -> None:
        """Append a block of all that was gathered; without rows and heartbeats the next block covers it."""
        async with self._in_order:
            gathered, self._gathered = self._gathered, []
            if not gathered:
                return
            try:
                await self._append(gathered)
            except BaseException:  # whoever fells the worker: no checkpoint may be cut without these rows
                self._gathered = gathered + self._gathered
                raise

    async def _append(self, gathered: list[Applied]) -> None:
        beat, self._beat, self._events = self._beat, 0, 0
        self._some.clear()
        to = self._to
        block = await self._pace.aside(lambda: self._block_of(gathered))
        if not beat and not any(map(len, (block.interactions, block.exposures, block.rewards, block.probes))):
            return
        cover = Cover(self._partition, gathered[-1].incarnation, self.cover, to)
        landed, size = self._signals.append(replace(block, cover=cover, beat=beat))
        self.landing.append(landed)
        self.cover = to
        self._observer.on_signals(self._partition, size)
        if beat:
            self._on_beat(beat, to, landed)

    def _block_of(self, gathered: list[Applied]) -> SignalBlock:
        with self._turn.first():
            return self._engine.block_of(joined(gathered))

    async def run(self, owned: Callable[[], bool]) -> None:
        """Append what has gathered, again and again; what is being cut has been appended by its cut."""
        while owned():
            await self._some.wait()
            await asyncio.sleep(GATHER_SECONDS)
            if owned():
                await self.append()
