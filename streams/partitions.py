"""Which partitions a topic has: asked of the broker, for readers without a group.

(A consumer that subscribes to nothing holds no metadata: its ``partitions_for_topic`` knows no topic.)
"""

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import UnavailableError
from schemas.settings import KafkaSettings
from schemas.topics import Topic, topic_name
from streams.kafka import admin


async def partitions_of(kafka: KafkaSettings, topic: Topic) -> list[TopicPartition]:
    """All partitions of a topic in order; empty when it does not exist.

    Raises
    ------
    UnavailableError
        The broker does not answer.
    """
    name = topic_name(topic, kafka.namespace)
    async with admin(kafka) as client:
        try:
            described = await client.describe_topics([name])
        except KafkaError as error:
            raise UnavailableError(f"the broker does not describe {name} ({error!r})") from error
    found = {d["topic"]: [p["partition"] for p in d["partitions"]] for d in described}
    return [TopicPartition(name, partition) for partition in sorted(found.get(name, []))]
