"""A namespace of its own on a real broker, and what one writes to it and reads from it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic
from streams.connection import consumer_options
from streams.kafka import idempotent_producer
from streams.partitions import partitions_of
from streams.provision import provision


async def furnish(kafka: KafkaSettings) -> KafkaSettings:
    """All topics in a new namespace."""
    own = msgspec.structs.replace(kafka, namespace=f"t{uuid.uuid4().hex[:8]}", partitions=2)
    await provision(Settings(kafka=own))
    return own


async def write(
    kafka: KafkaSettings, topic: Topic, records: Iterable[tuple[bytes | None, bytes | None]]
) -> None:
    """Append keys and values, in order, and wait for them."""
    async with idempotent_producer(kafka) as producer:
        name = kafka.topic(topic)
        sent = [await producer.send(name, key=key, value=value) for key, value in records]
        await asyncio.gather(*sent)


@asynccontextmanager
async def tail(
    kafka: KafkaSettings, topic: Topic, *, committed: bool = False
) -> AsyncIterator[tuple[Any, list[TopicPartition]]]:
    """A consumer at the beginning of every partition of a topic."""
    level = "read_committed" if committed else "read_uncommitted"
    async with AIOKafkaConsumer(**consumer_options(kafka), isolation_level=level) as consumer:
        partitions = await eventually(lambda: partitions_of(kafka, topic))  # not known at once when new
        consumer.assign(partitions)
        yield consumer, partitions


async def read(kafka: KafkaSettings, topic: Topic, *, committed: bool = False) -> list[Any]:
    """Everything that a topic holds now; ``committed``: of transactions, those that were committed."""
    async with tail(kafka, topic, committed=committed) as (consumer, partitions):
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        for tp in partitions:
            while await consumer.position(tp) < ends[tp]:
                for run in (await consumer.getmany(tp, timeout_ms=200)).values():
                    records += run
        return records


async def eventually(check: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What ``check`` (maybe awaitable) returns, as soon as it is true; a starved machine has a minute."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = check()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"not true after {seconds} s"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(work: Any, stop: asyncio.Event) -> AsyncIterator["asyncio.Task[None]"]:
    """Something that runs until ``stop``."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


def latest(records: Iterable[Any]) -> dict[bytes, bytes | None]:
    """The last value of each key, as compaction would leave it."""
    return {record.key: record.value for record in records}
