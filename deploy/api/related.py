"""Questions about items, answered by an engine that is restored from the learner's newest snapshot.

The API learns nothing itself: an answer is as old as the newest snapshot in ``learner.directory``, at most
``learner.snapshot_seconds``.  Nothing is loaded before somebody asks.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from deploy.kernels import Kernels, cold
from models.engine import Engine
from schemas.catalogue import Item
from schemas.errors import UnavailableError
from schemas.related import SimilarItems, TrendingItems
from schemas.settings import Settings
from streams.learner import Snapshots

T = TypeVar("T")
LOOK_SECONDS = 5.0
"""Between two looks whether there is a newer snapshot."""

MAX_BYTES = 128 << 20
OVERHEAD = 100
"""Of upserts that wait for the first question, and beside each of them."""

_decoder = msgspec.json.Decoder(Item)


class RelatedItems:
    """An engine that follows snapshots and the catalogue when it is asked.

    Parameters
    ----------
    settings
        Those of the learner: where its snapshots are, and how its engine is made.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._snapshots = Snapshots(Path(settings.learner.directory), settings.kafka.namespace)
        self._engine = Engine.of(settings)
        self._waiting: dict[str, bytes | None] = {}
        self.size = 0
        self._turn = asyncio.Lock()
        self._compiled = False
        self._loaded: Path | None = None
        self._looked = -LOOK_SECONDS

    def put(self, key: str, data: bytes | None) -> None:
        """An upsert of ``items`` that can be read, or None: delisted.  It is applied when somebody asks.

        Above ``MAX_BYTES`` further ones are passed over until somebody does.
        """
        former = OVERHEAD + len(key) + len(self._waiting[key] or b"") if key in self._waiting else 0
        size = self.size - former + OVERHEAD + len(key) + len(data or b"")
        if size <= MAX_BYTES:
            self._waiting[key], self.size = data, size

    async def similar(self, item: str, k: int) -> SimilarItems:
        """As ``Engine.similar``.

        Raises
        ------
        InvalidMessageError
            ``k`` out of range, or an unknown item.
        UnavailableError
            There is no snapshot that can be read.
        """
        return await self._ask(lambda engine: engine.similar(item, k))

    async def trending(self, k: int) -> TrendingItems:
        """As ``Engine.trending``; raises as ``similar`` does."""
        return await self._ask(lambda engine: engine.trending(k))

    async def _ask(self, question: Callable[[Engine], T]) -> T:
        """One at a time, on a thread: the engine is no place for two, and a restore may take a second."""
        async with self._turn:
            if not self._compiled and cold():  # compiling in this process would stop the loop for seconds
                await Kernels().compile()
            self._compiled = True
            waiting, self._waiting, self.size = self._waiting, {}, 0
            return await asyncio.to_thread(self._answer, question, waiting)

    def _answer(self, question: Callable[[Engine], T], waiting: dict[str, bytes | None]) -> T:
        self._describe(waiting)
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._restore()
            self._looked = time.monotonic()
        return question(self._engine)

    def _describe(self, waiting: dict[str, bytes | None]) -> None:
        self._engine.describe([_decoder.decode(data) for data in waiting.values() if data is not None])
        self._engine.delist([key for key, data in waiting.items() if data is None])

    def _restore(self) -> None:
        paths = self._snapshots.paths()
        if paths and paths[-1] == self._loaded:
            return
        where = f"learner.directory: {self._settings.learner.directory}"
        if not paths:
            remedy = "the learner writes one every learner.snapshot_seconds; run the API on its host"
            raise UnavailableError(f"{where}: no snapshot is there yet: {remedy}")
        offset, refused = self._snapshots.newest(self._engine)
        if offset == 0 and refused:
            raise UnavailableError(f"{where}: {refused[0]}: run the API with the learner's settings")
        self._loaded = paths[-1]
