"""The check that a log is the one that was read before.

Clients here see no topic ids, so the group's own commits are the identity record: beside each
committed offset stands the topic's incarnation and a checksum of the record before it.  At the start
that record is read again.  A topic that was recreated, a log that lost its tail, and a log whose head
was deleted before it was read are thereby named, and nothing is skipped in silence; a group without a
commit starts at the beginning because we commit the beginning, not because a client decides it.
"""

from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import IncarnationError, UnavailableError
from schemas.settings import Settings
from streams.kafka import admin, connect, connection, insist, reader
from streams.transport import mark_of

Incarnations = dict[tuple[str, int], int]


async def open_group(settings: Settings, topics: Iterable[str]) -> Incarnations:
    """Check what the group committed against the logs; commit the beginning where it has nothing.

    Returns
    -------
    dict
        Incarnation of each (topic, partition) that is not in its first life.

    Raises
    ------
    IncarnationError
        A log is not the one that was read before; names what happened and the remedy.
    """
    incarnations: Incarnations = {}
    async with reader(settings.kafka) as consumer:
        partitions = await _all_partitions(consumer, topics)
        committed = await _committed(settings, partitions)
        starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        fresh = {}
        for tp in partitions:
            known = committed.get(tp)
            if known is None or known.offset < 0:
                fresh[tp] = OffsetAndMetadata(starts[tp], "0:")
                continue
            number, _, mark = known.metadata.partition(":")
            incarnations[tp.topic, tp.partition] = int(number or 0)
            await check_log(consumer, tp, known.offset, mark, starts[tp], ends[tp])
    if fresh:
        await commit(settings, fresh)
    return {key: number for key, number in incarnations.items() if number}


async def check_log(consumer: Any, tp: Any, offset: int, mark: str, start: int, end: int) -> None:
    """Refuse a log in which ``offset`` is not the place that was committed."""
    where = f"{tp.topic}/{tp.partition}"
    remedy = f"if it was recreated on purpose: `streamwise topics --reopen {tp.topic}`"
    if offset > end:
        raise IncarnationError(
            f"{where}: read up to {offset}, but the log ends at {end}: its tail was lost; {remedy}"
        )
    if offset < start:
        raise IncarnationError(
            f"{where}: read up to {offset}, but the log begins at {start}: "
            f"{start - offset} unread records were deleted; {remedy}"
        )
    if mark and start < offset <= end and await mark_at(consumer, tp, offset - 1) not in {mark, None}:
        raise IncarnationError(
            f"{where}: the record before offset {offset} is another one: the topic was recreated; {remedy}"
        )


async def mark_at(consumer: Any, tp: Any, offset: int) -> str | None:
    """Mark of the record at an offset; None if no record has it (compaction, control markers)."""
    consumer.assign([tp])
    consumer.seek(tp, offset)
    records = (await consumer.getmany(tp, timeout_ms=5000, max_records=1)).get(tp, [])
    return mark_of(records[0]) if records and records[0].offset == offset else None


async def reopen(settings: Settings, topic: str) -> Incarnations:
    """Begin a new incarnation of a topic at its present beginning; workers must be stopped."""
    async with reader(settings.kafka) as consumer:
        partitions = await _all_partitions(consumer, [topic])
        starts = await consumer.beginning_offsets(partitions)
    committed = await _committed(settings, partitions)
    opened: Incarnations = {}
    for tp in partitions:
        known = committed.get(tp)
        opened[tp.topic, tp.partition] = int((known.metadata if known else "").partition(":")[0] or 0) + 1
    await commit(
        settings,
        {tp: OffsetAndMetadata(starts[tp], f"{opened[tp.topic, tp.partition]}:") for tp in partitions},
    )
    return opened


async def commit(settings: Settings, offsets: dict[Any, Any]) -> None:
    """Commit for the group from outside; the broker refuses it while the group has members."""
    consumer = AIOKafkaConsumer(
        **connection(settings.kafka), group_id=settings.kafka.group, enable_auto_commit=False
    )
    await connect(consumer)
    try:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
    except KafkaError as error:
        raise UnavailableError(
            f"{settings.kafka.group}: offsets cannot be set ({error!r}): stop its workers first"
        ) from error
    finally:
        await consumer.stop()


async def _committed(settings: Settings, partitions: list[Any]) -> dict[Any, Any]:
    """What the group committed, metadata included."""
    async with admin(settings.kafka) as client:
        found: dict[Any, Any] = await insist(
            lambda: client.list_consumer_group_offsets(settings.kafka.group, partitions=partitions)
        )
    return found


async def _all_partitions(consumer: Any, topics: Iterable[str]) -> list[Any]:
    found = []
    for topic in topics:
        await consumer._client._wait_on_metadata(topic)  # noqa: SLF001  there is no public way to ask for one topic
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise UnavailableError(f"{topic}: no such topic: run `streamwise topics --create`")
        found += [TopicPartition(topic, n) for n in sorted(numbers)]
    return found
