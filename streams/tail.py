"""The latest list of one person, straight from the topic: for whoever has no Redis."""

from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import UnavailableError
from schemas.recommendations import Recommendation
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.connection import consumer_options
from streams.kafka import connect
from streams.partitions import partitions_of
from streams.tasks import closed

WINDOWS = (1_000, 20_000, 2**62)
"""How many records of each partition are looked at, from the end; the next window only if none had it."""

POLL_MS = 500


class _Who(msgspec.Struct):
    """Whose list; one that answers a restricted request is nobody's newest."""

    user_id: str
    surface: str
    restricted: bool = False


async def latest_list(kafka: KafkaSettings, user_id: str, surface: str = "home") -> Recommendation | None:
    """A person's newest list of a surface, or None when the topic has none.

    Raises
    ------
    UnavailableError
        The broker does not answer.
    """
    partitions = await partitions_of(kafka, Topic.RECOMMENDATIONS)
    if not partitions:
        return None
    consumer = AIOKafkaConsumer(**consumer_options(kafka))
    await connect(consumer)
    try:
        return await _search(consumer, partitions, _Who(user_id, surface))
    except (KafkaError, OSError) as error:
        raise UnavailableError(f"kafka.bootstrap: {kafka.bootstrap}: {error!r}") from error
    finally:
        await closed(consumer.stop())


async def _search(consumer: Any, partitions: list[TopicPartition], who: _Who) -> Recommendation | None:
    consumer.assign(partitions)
    first = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    for window in WINDOWS:
        starts = {tp: max(first[tp], end - window) for tp, end in ends.items()}
        newest = await _read(consumer, starts, ends, who)
        if newest is not None or starts == first:
            return newest
    return None


async def _read(
    consumer: Any, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int], who: _Who
) -> Recommendation | None:
    """The newest list of ``who`` between ``starts`` and ``ends``."""
    for tp, start in starts.items():
        consumer.seek(tp, start)
    key, heads = who.user_id.encode(), msgspec.json.Decoder(_Who)
    newest: Recommendation | None = None
    left = {tp for tp, start in starts.items() if start < ends[tp]}
    while left:
        for tp, records in (await consumer.getmany(*left, timeout_ms=POLL_MS)).items():
            for record in records:
                found = _theirs(record.value, who, heads) if record.key in {key, None} else None
                if found is not None and (newest is None or newest.ts <= found.ts):
                    newest = found
            if records[-1].offset + 1 >= ends[tp]:
                left.discard(tp)
        left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    return newest


def _theirs(value: bytes | None, who: _Who, heads: "msgspec.json.Decoder[_Who]") -> Recommendation | None:
    try:
        if value is None or heads.decode(value) != who:
            return None
        return msgspec.json.decode(value, type=Recommendation)
    except (msgspec.DecodeError, UnicodeDecodeError):  # not a list: nobody's
        return None
