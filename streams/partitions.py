"""Which partitions a topic has: asked of the broker, for readers without a group.

(A consumer that subscribes to nothing holds no metadata: its ``partitions_for_topic`` knows no topic.)
"""

import asyncio
from time import monotonic

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import UnavailableError
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.kafka import admin

NEW_SECONDS = 3.0


async def partitions_of(kafka: KafkaSettings, topic: Topic) -> list[TopicPartition]:
    """All partitions of a topic in order; empty when it does not exist.

    Raises
    ------
    UnavailableError
        The broker does not answer.
    """
    name = kafka.topic(topic)
    async with admin(kafka) as client:
        try:
            described = await client.describe_topics([name])
        except KafkaError as error:
            raise UnavailableError(f"the broker does not describe {name} ({error!r})") from error
    found = {d["topic"]: [p["partition"] for p in d["partitions"]] for d in described}
    return [TopicPartition(name, partition) for partition in sorted(found.get(name, []))]


async def partitions_soon(kafka: KafkaSettings, topic: Topic) -> list[TopicPartition]:
    """As ``partitions_of``, of a topic that may have just been created: not every broker knows it at once.

    Raises
    ------
    UnavailableError
        There is no such topic, or the broker does not answer.
    """
    deadline = monotonic() + NEW_SECONDS
    while not (found := await partitions_of(kafka, topic)):
        if monotonic() > deadline:
            raise UnavailableError(f"{kafka.topic(topic)}: no such topic: run `streamwise topics --create`")
        await asyncio.sleep(0.2)
    return found


async def all_topics(kafka: KafkaSettings) -> dict[str, int]:
    """Partitions of every topic that the broker has.

    (To ask for one by name would create it, where a broker creates topics by itself.)

    Raises
    ------
    UnavailableError
        The broker does not answer.
    """
    async with admin(kafka) as client:
        try:
            described = await client.describe_topics()
        except KafkaError as error:
            raise UnavailableError(f"the broker does not describe its topics ({error!r})") from error
    return {d["topic"]: len(d["partitions"]) for d in described}
