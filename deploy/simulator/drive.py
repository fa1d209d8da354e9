"""The simulator on Kafka: what people do goes to the source topics, their lists come back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.simulator.shop import Message, Shop
from schemas.catalogue import Item
from schemas.recommendations import Recommendation
from schemas.settings import KafkaSettings
from schemas.topics import Topic, topic_name
from streams.connection import client_options, consumer_options
from streams.kafka import connect

TICK_SECONDS = 0.02
_encode = msgspec.json.Encoder().encode
_lists = msgspec.json.Decoder(Recommendation)


class Drive:
    """One shop on one broker.

    Parameters
    ----------
    kafka
        Where, and under which namespace.
    shop
        Who does what when.
    """

    def __init__(self, kafka: KafkaSettings, shop: Shop) -> None:
        self.kafka = kafka
        self.shop = shop
        self.first_list: float | None = None

    async def stock(self, items: Iterable[Item]) -> int:
        """Publish the assortment; how many items."""
        async with self._producer() as producer:
            sent = [
                await producer.send(self._name(Topic.ITEMS), _encode(item), key=item.item_id.encode())
                for item in items
            ]
            await asyncio.gather(*sent)
        return len(sent)

    async def remember(self, history: Iterable[Message]) -> int:
        """Publish what was bought before the shop opened; how many lines."""
        async with self._producer() as producer:
            sent = [await self._send(producer, message) for message in history]
            await asyncio.gather(*sent)
        return len(sent)

    async def run(self, stop: asyncio.Event) -> None:
        """Open the shop until ``stop``; a client that fails ends the others and is raised."""
        async with self._producer() as producer, self._consumer() as consumer, asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(consumer))
            acting = group.create_task(self._act(producer))
            await stop.wait()
            acting.cancel()
            reading.cancel()

    async def _act(self, producer: Any) -> None:
        while True:
            for message in self.shop.due(time.monotonic()):
                await self._send(producer, message)
            await asyncio.sleep(TICK_SECONDS)

    async def _read(self, consumer: Any) -> None:
        while True:
            found = await consumer.getmany(timeout_ms=100, max_records=500)
            now = time.monotonic()
            for records in found.values():
                for record in records:
                    self.shop.on_list(_lists.decode(record.value), now)
                    self.first_list = self.first_list or now

    async def _send(self, producer: Any, message: Message) -> Any:
        key = message.fact.user_id.encode()
        return await producer.send(self._name(message.topic), _encode(message.fact), key=key)

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[Any]:
        producer = AIOKafkaProducer(**client_options(self.kafka), linger_ms=self.kafka.linger_ms, acks="all")
        await connect(producer)
        try:
            yield producer
        finally:
            await producer.stop()

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        """A reader of every new list, without a group."""
        consumer = AIOKafkaConsumer(**consumer_options(self.kafka))
        await connect(consumer)
        try:
            topic = self._name(Topic.RECOMMENDATIONS)
            places = [TopicPartition(topic, p) for p in range(self.kafka.partitions)]
            consumer.assign(places)
            await consumer.seek_to_end(*places)
            yield consumer
        finally:
            await consumer.stop()

    def _name(self, topic: Topic) -> str:
        return topic_name(topic, self.kafka.namespace)


async def count_records(kafka: KafkaSettings, topic: Topic, partitions: int) -> int:
    """How many records a topic holds."""
    consumer = AIOKafkaConsumer(**consumer_options(kafka))
    await connect(consumer)
    try:
        places = [TopicPartition(topic_name(topic, kafka.namespace), p) for p in range(partitions)]
        ends, begins = await consumer.end_offsets(places), await consumer.beginning_offsets(places)
        return sum(int(ends[p]) - int(begins[p]) for p in places)
    finally:
        await consumer.stop()
