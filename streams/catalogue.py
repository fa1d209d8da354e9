"""What is known about items: the compacted ``items`` and ``embeddings`` topics, read whole and followed."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.errors import InvalidMessageError
from schemas.settings import KafkaSettings
from schemas.topics import Topic, topic_name
from streams.items import read_embedding, read_item
from streams.kafka import connect, connection
from streams.learner import Turn
from streams.pace import Pace
from streams.ports import EngineLike
from streams.tasks import closed
from streams.transport import Record

T = TypeVar("T")

RECORDS_AT_ONCE = 200


class Catalogue:
    """Feeds the engine what it knows of items; every worker reads all of it.

    Parameters
    ----------
    vectors
        Whether new vectors are taken now; they stay in their log meanwhile.

    Attributes
    ----------
    caught_up
        Set when everything that was there at the start has been read.
    resting
        Whether new vectors wait in their log.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        engine: EngineLike,
        turn: Turn,
        pace: Pace,
        vectors: Callable[[], bool] = lambda: True,
    ) -> None:
        self._pace = pace
        self._vectors = vectors
        self._kafka = kafka
        self._engine = engine
        self._turn = turn
        self.caught_up = asyncio.Event()
        self.resting = False

    async def run(self) -> None:
        """Read from the beginning, for ever."""
        items = TopicPartition(topic_name(Topic.ITEMS, self._kafka.namespace), 0)
        vectors = TopicPartition(topic_name(Topic.EMBEDDINGS, self._kafka.namespace), 0)
        takes: dict[Any, Callable[[Sequence[Record]], None]] = {items: self._describe, vectors: self._embed}
        consumer = AIOKafkaConsumer(
            **connection(self._kafka),
            auto_offset_reset="earliest",  # compacted: whatever is there is everything that is known
            enable_auto_commit=False,
            fetch_max_wait_ms=self._kafka.fetch_wait_ms or 500,
        )
        await connect(consumer)
        try:
            consumer.assign(list(takes))
            await consumer.seek_to_beginning(*takes)
            ends = await consumer.end_offsets(list(takes))
            while True:
                got = await consumer.getmany(timeout_ms=500, max_records=RECORDS_AT_ONCE)
                for tp, records in got.items():
                    await self._pace.aside(partial(takes[tp], records))
                if not self.caught_up.is_set() and await _all_read(consumer, ends):
                    self.caught_up.set()
                self._pause(consumer, vectors)
                await asyncio.sleep(0)
        finally:
            await closed(consumer.stop())

    def _pause(self, consumer: Any, vectors: TopicPartition) -> None:
        """Leave new vectors where they are while there is no time for them; what was there first is read."""
        if self.resting and self._vectors():
            consumer.resume(vectors)
            self.resting = False
        elif not self.resting and self.caught_up.is_set() and not self._vectors():
            consumer.pause(vectors)
            self.resting = True

    def _describe(self, records: Sequence[Record]) -> None:
        """The last of each key counts; an item that cannot be read leaves the one before as it is."""
        latest = _latest(records, read_item)
        with self._turn.first():
            self._engine.describe([item for item in latest.values() if item is not None])
            self._engine.delist([item_id for item_id, item in latest.items() if item is None])

    def _embed(self, records: Sequence[Record]) -> None:
        latest = _latest(records, read_embedding)
        with self._turn.first():
            self._engine.embed([vector for vector in latest.values() if vector is not None])
            self._engine.unembed([item_id for item_id, vector in latest.items() if vector is None])


def _latest(records: Sequence[Record], read: Callable[[Record], tuple[str, T | None]]) -> dict[str, T | None]:
    """What stands last under each id, in the order of the log; None: a tombstone."""
    latest: dict[str, T | None] = {}
    for record in records:
        try:
            item_id, value = read(record)
        except InvalidMessageError:  # intake has sent it to the dead letters, once for all workers
            continue
        latest.pop(item_id, None)
        latest[item_id] = value
    return latest


async def _all_read(consumer: Any, ends: dict[Any, int]) -> bool:
    return all([await consumer.position(tp) >= end for tp, end in ends.items()])
