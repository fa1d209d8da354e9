"""The peer of the latency benchmark: the same topics and acknowledgements, and no work at all.

``python -m deploy.benchmarks._relay SETTINGS.json clicks events recommendations`` copies each of the topics
to the next with plain aiokafka until it is terminated.
"""

import asyncio
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.connection import consumer_options
from streams.kafka import idempotent_producer


async def copy(kafka: KafkaSettings, producer: Any, source: Topic, target: Topic) -> None:
    """Every record of one topic to the same partition of another; each run is acknowledged."""
    names = [kafka.topic(t) for t in (source, target)]
    async with AIOKafkaConsumer(**consumer_options(kafka)) as consumer:
        partitions = [TopicPartition(names[0], p) for p in range(kafka.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                sent = [
                    await producer.send(names[1], r.value, key=r.key, partition=tp.partition) for r in records
                ]
                await asyncio.gather(*sent)


async def relay(kafka: KafkaSettings, hops: list[Topic]) -> None:
    """All hops."""
    async with idempotent_producer(kafka) as producer:
        await asyncio.gather(*(copy(kafka, producer, a, b) for a, b in pairwise(hops)))


def main() -> None:
    """Run until terminated."""
    kafka = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=KafkaSettings)
    if kafka.dialect == "tansu":
        from deploy.embedded.compat import install  # noqa: PLC0415  an optional extra

        install()
    asyncio.run(relay(kafka, [Topic(name) for name in sys.argv[2:]]))


if __name__ == "__main__":
    main()
