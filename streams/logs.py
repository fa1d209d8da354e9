"""A deployment's ``events`` and ``state`` as they stand on the broker, read from outside of its group."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import UnavailableError
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.kafka import admin, insist, read_range, reader
from streams.partitions import partitions_of
from streams.rewrite import Kept
from streams.state_store import Restored, restore

FETCH_BYTES = 1 << 20
"""Of each partition that is read beside others."""


class Live:
    """Both logs, up to the ends that stood when it was opened.

    Parameters
    ----------
    ends
        One past the last offset wanted of each partition of ``events``.
    """

    def __init__(self, kafka: KafkaSettings, ends: Mapping[int, int]) -> None:
        self._kafka = kafka
        self._ends = dict(ends)
        self.topic = kafka.topic(Topic.EVENTS)

    @property
    def numbers(self) -> Sequence[int]:
        """Partitions, ascending."""
        return sorted(self._ends)

    async def state(self, partition: int) -> Restored:
        """Newest blocks and checkpoint."""
        return await restore(self._kafka, partition)

    async def events(self, partition: int) -> AsyncIterator[Kept]:
        """Records, in order."""
        async for record in records_of(self._kafka, self.topic, partition, end=self._ends[partition]):
            yield record


async def records_of(
    kafka: KafkaSettings,
    topic: str,
    partition: int,
    *,
    start: int | None = None,
    end: int,
    committed: bool = False,
) -> AsyncIterator[Kept]:
    """Records of a partition from its beginning (or ``start``) up to ``end``."""
    tp = TopicPartition(topic, partition)
    async with reader(kafka, committed=committed, fetch_bytes=FETCH_BYTES) as consumer:
        first = (await consumer.beginning_offsets([tp]))[tp] if start is None else start
        async for r in read_range(consumer, topic, partition, first, end, exact=True):
            yield Kept(r.offset, r.timestamp, r.key, r.value, tuple((k, v) for k, v in r.headers))


async def bounds(kafka: KafkaSettings, topic: Topic) -> dict[int, tuple[int, int]]:
    """First offset, and one past the last, of each partition; empty if there is no such topic."""
    partitions = await partitions_of(kafka, topic)
    async with reader(kafka) as consumer:
        starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    return {tp.partition: (starts[tp], ends[tp]) for tp in partitions}


async def members_of(kafka: KafkaSettings) -> list[str]:
    """Client ids of the group's members; none for a group that nobody has joined."""
    async with admin(kafka) as client:

        async def ask() -> Any:
            (response,) = await client.describe_consumer_groups([kafka.group])
            return response

        try:
            response = await insist(ask)
        except KafkaError as error:
            raise UnavailableError(f"{kafka.group}: the broker does not describe it ({error!r})") from error
    (group,) = response.to_object()["groups"]
    return sorted(member["client_id"] for member in group["members"])
