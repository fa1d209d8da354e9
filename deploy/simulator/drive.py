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
from schemas.errors import UnavailableError
from schemas.recommendations import Recommendation
from schemas.reports import CausalReport
from schemas.settings import KafkaSettings
from schemas.topics import Topic, topic_name
from streams.connection import client_options, consumer_options
from streams.kafka import connect

TICK_SECONDS = 0.02
QUIET_SECONDS = 0.5
_encode = msgspec.json.Encoder().encode
_lists = msgspec.json.Decoder(Recommendation)
_reports = msgspec.json.Decoder(CausalReport)


class Drive:
    """One shop on one broker.

    Parameters
    ----------
    kafka
        Where, and under which namespace.
    shop
        Who does what when.

    Attributes
    ----------
    verdicts
        The auditor's latest report of each metric.
    answered
        Set when the first list has come.
    opened
        Set when the past is worked off, and simulated time runs.
    """

    def __init__(self, kafka: KafkaSettings, shop: Shop) -> None:
        self.kafka = kafka
        self.shop = shop
        self.verdicts: dict[str, CausalReport] = {}
        self.opened = asyncio.Event()
        self.answered = asyncio.Event()

    async def run(self, items: Iterable[Item], *, since: int, patience: float) -> None:
        """Stock the shop, import its past, wait until that is worked off, and stay open until cancelled.

        Parameters
        ----------
        items
            The assortment.
        since
            Simulated second from which on past purchases are imported.
        patience
            Real seconds to wait for the first list.

        Raises
        ------
        UnavailableError
            Nobody makes lists, or the broker went away.
        """
        async with self._producer() as producer, self._consumer() as consumer:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(consumer))
                    group.create_task(self._keep(producer, items, since, patience))
            except ExceptionGroup as failed:
                # The first failure cancelled the other task: it is the whole story.
                raise failed.exceptions[0] from failed

    async def _keep(self, producer: Any, items: Iterable[Item], since: int, patience: float) -> None:
        await self._stock(producer, items)
        for message in self.shop.history(since):
            await self._send(producer, message)
        await producer.flush()
        await self._first_list(patience)
        await self._worked_off()
        self.shop.open(time.monotonic(), time.time_ns() // 1_000_000)
        self.opened.set()
        while True:
            for message in self.shop.due(time.monotonic()):
                await self._send(producer, message)
            await asyncio.sleep(TICK_SECONDS)

    async def _stock(self, producer: Any, items: Iterable[Item]) -> None:
        for item in items:
            await producer.send(self._name(Topic.ITEMS), _encode(item), key=item.item_id.encode())

    async def _first_list(self, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                await self.answered.wait()
        except TimeoutError as error:
            where = self.kafka.bootstrap
            raise UnavailableError(
                f"no list came within {patience:.0f} s: is `streamwise stream` running on {where}?"
            ) from error

    async def _worked_off(self) -> None:
        """The past is worked off when no more list comes for it: then latencies are those of the present."""
        lists = -1
        while self.shop.ledger.lists > lists:
            lists = self.shop.ledger.lists
            await asyncio.sleep(QUIET_SECONDS)

    async def _read(self, consumer: Any) -> None:
        while True:
            found = await consumer.getmany(timeout_ms=100, max_records=500)
            now = time.monotonic()
            for records in found.values():
                for record in records:
                    self._take(record, now)

    def _take(self, record: Any, now: float) -> None:
        try:
            if record.topic == self._name(Topic.CAUSAL_REPORTS):
                report = _reports.decode(record.value or b"")
                self.verdicts[report.metric] = report
                return
            shown = _lists.decode(record.value or b"")
        except msgspec.DecodeError:  # somebody else's record: the shop goes on
            return
        self.shop.on_list(shown, now)
        self.answered.set()

    async def _send(self, producer: Any, message: Message) -> None:
        key = message.fact.user_id.encode()
        await producer.send(self._name(message.topic), _encode(message.fact), key=key)

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
        """A reader of every new list and report, without a group."""
        consumer = AIOKafkaConsumer(**consumer_options(self.kafka))
        await connect(consumer)
        try:
            topic = self._name(Topic.RECOMMENDATIONS)
            places = [TopicPartition(topic, p) for p in range(self.kafka.partitions)]
            places.append(TopicPartition(self._name(Topic.CAUSAL_REPORTS), 0))
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
