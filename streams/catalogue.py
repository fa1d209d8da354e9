"""What is known about items: the compacted ``items`` and ``embeddings`` topics, read whole and followed."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.errors import InvalidMessageError
from schemas.events import decode
from schemas.settings import KafkaSettings
from schemas.topics import Topic, topic_name
from streams.deadletters import DeadLetter, DeadLetters
from streams.kafka import connect, connection
from streams.learner import Turn
from streams.observer import StreamObserver
from streams.ports import EngineLike
from streams.transport import Record

RECORDS_AT_ONCE = 200

_items = msgspec.json.Decoder(Item)
_embeddings = msgspec.json.Decoder(Embedding)


class Catalogue:
    """Feeds the engine what it knows of items; every worker reads all of it.

    Attributes
    ----------
    caught_up
        Set when everything that was there at the start has been read.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        engine: EngineLike,
        turn: Turn,
        letters: DeadLetters,
        observer: StreamObserver,
    ) -> None:
        self._kafka = kafka
        self._engine = engine
        self._turn = turn
        self._letters = letters
        self._observer = observer
        self._refused: list[DeadLetter] = []
        self.caught_up = asyncio.Event()

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
                    takes[tp](records)
                if self._refused:
                    refused, self._refused = self._refused, []
                    await self._letters.put(refused, "catalogue")
                if not self.caught_up.is_set() and await _all_read(consumer, ends):
                    self.caught_up.set()
                await asyncio.sleep(0)
        finally:
            await consumer.stop()

    def _describe(self, records: Sequence[Record]) -> None:
        """The last of each key counts; an item that cannot be read leaves the one before as it is."""
        latest: dict[str, Item | None] = {}
        for record in records:
            if record.value is None:
                latest[(record.key or b"").decode(errors="replace")] = None
            elif (item := self._read(_items, record)) is not None:
                latest[item.item_id] = item
        with self._turn.first():
            self._engine.describe([item for item in latest.values() if item is not None])
            self._engine.delist([item_id for item_id, item in latest.items() if item is None])

    def _embed(self, records: Sequence[Record]) -> None:
        read = [self._read(_embeddings, r) for r in records if r.value is not None]
        with self._turn.first():
            self._engine.embed([e for e in read if e is not None])

    def _read(self, decoder: "msgspec.json.Decoder[Any]", record: Record) -> Any:
        try:
            return decode(decoder, record.value)
        except InvalidMessageError as error:
            self._observer.on_dead_letter("catalogue", type(error).__name__)
            self._refused.append(DeadLetter(record, error))
            return None


async def _all_read(consumer: Any, ends: dict[Any, int]) -> bool:
    return all([await consumer.position(tp) >= end for tp, end in ends.items()])
