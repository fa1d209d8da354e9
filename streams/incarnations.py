"""The check that a log is the one that was read before.

Clients here see no topic ids, so we keep records of our own.  In the ``state`` topic stands the
incarnation of every source partition that was ever read (a broker forgets a group's offsets together
with a deleted topic); beside each committed offset stands a checksum of the record before it, which is
read again at the start.  A topic that was recreated, a log that lost its tail, and a log whose head was
deleted before it was read are thereby named, and nothing is skipped in silence.  A group without a
commit starts at the beginning because we commit the beginning, not because a client decides it.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import IncarnationError, UnavailableError
from schemas.settings import Settings
from schemas.topics import Topic
from streams.kafka import admin, connect, connection, idempotent_producer, insist, read_range, reader
from streams.layout import LAYOUT, Layout, read_layout, refuse_former, refuse_unfinished
from streams.state_store import number_of
from streams.tasks import closed
from streams.transport import mark_of

log = logging.getLogger(__name__)

Incarnations = dict[tuple[str, int], int]
"""Life of a (topic, partition), counted from 0."""

RESTORE = (
    "restore events, state and signals together from a backup, or begin anew with another kafka.namespace"
)

LOOK_SECONDS, LOOK_BYTES = 10.0, 64 << 10
"""Between two looks at the logs of a running worker, and how much of each is fetched."""

LOOKS = 3
"""A coordinator that has just moved knows of no offsets for a moment: so often they must be missing."""

AGAIN_SECONDS, TOLD_AFTER = 1.0, 30
"""Between two tries while no look succeeds, and after how many the log says so."""

LIFE = b"life/"
"""Keys of our identity records, in partition 0 of ``state``: ``life/TOPIC/PARTITION``."""


async def open_group(settings: Settings, topics: Iterable[str]) -> Incarnations:
    """Check what the group committed against the logs; commit the beginning where it has nothing.

    Returns
    -------
    dict
        Incarnation of each source partition.

    Raises
    ------
    IncarnationError
        A log is not the one that was read before; names what happened and the remedy.
    """
    own = settings.kafka.topic(Topic.EVENTS)  # identified by its checkpoints
    await refuse_former(settings.kafka)
    async with reader(settings.kafka) as consumer:
        partitions = await _all_partitions(consumer, topics)
        lives, layout = await read_lives(
            consumer, settings
        )  # first: whoever writes a life has committed before
        refuse_unfinished(settings.kafka, layout)
        committed = await committed_by(settings, partitions)
        starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        fresh = {}
        for tp in partitions:
            known = committed.get(tp)
            if known is not None and known.offset >= 0:
                mark = known.metadata.partition(":")[2]
                bounds = starts[tp], ends[tp]
                await check_log(consumer, tp, known.offset, mark, *bounds, own=tp.topic == own)
            elif (tp.topic, tp.partition) in lives:
                raise _without_offset(tp)
            else:
                fresh[tp] = OffsetAndMetadata(starts[tp], "0:")
    if fresh:
        await commit(settings, fresh, unless_there=True)
    born = {(tp.topic, tp.partition): 0 for tp in partitions if tp.topic != own}
    if new := {key: 0 for key in born if key not in lives}:
        await write_lives(settings, new)
    return {key: lives.get(key, 0) for key in born}


async def check_group(settings: Settings, topics: Iterable[str], mine: Iterable[Any]) -> None:
    """Look at an interval, for ever, whether the logs of our partitions are those that we read.

    A topic that is deleted takes the group's offsets with it, and while it is gone the group shares out
    the others.  What is created in its place would be read by nobody, in silence; or from the old position
    on, once it has grown past it.  A broker that does not answer is asked again.

    Parameters
    ----------
    mine
        Topics and partitions assigned.

    Raises
    ------
    IncarnationError
        A log is gone, or is not the one that was read before.
    """
    own = settings.kafka.topic(Topic.EVENTS)  # its takeover checks it
    sources = [topic for topic in topics if topic != own]
    partitions = [TopicPartition(tp.topic, tp.partition) for tp in mine if tp.topic != own]
    remembered: dict[Any, Any] = {}
    missed = failed = 0
    while sources:
        try:
            async with reader(settings.kafka, fetch_bytes=LOOK_BYTES) as consumer:
                while True:
                    await _refuse_missing(consumer, sources)
                    every = await _all_partitions(consumer, sources)
                    known = await committed_by(settings, every)
                    lost = [tp for tp in every if tp not in known or known[tp].offset < 0]
                    missed = missed + 1 if lost else 0
                    if missed >= LOOKS:  # nobody may own it: it was not there when the group met
                        raise _without_offset(lost[0])
                    if not lost:
                        await _check_remembered(consumer, {tp: known[tp] for tp in partitions}, remembered)
                    failed = 0
                    await asyncio.sleep(LOOK_SECONDS)
        except (KafkaError, UnavailableError) as error:
            failed += 1
            if failed == TOLD_AFTER:  # not allowed to ask, perhaps: nothing else would tell
                log.warning("logs are not checked: a recreated topic would go unnoticed: %r", error)
            await asyncio.sleep(AGAIN_SECONDS)


async def _refuse_missing(consumer: Any, topics: Iterable[str]) -> None:
    for topic in topics:
        try:
            await consumer._client._wait_on_metadata(topic)  # noqa: SLF001  there is no public way to ask for one topic
        except UnknownTopicOrPartitionError as error:
            raise IncarnationError(
                f"{topic}: is gone: it was deleted under us; `streamwise topics --create`, "
                f"then `streamwise topics --reopen {topic}`"
            ) from error


async def _check_remembered(consumer: Any, known: dict[Any, Any], remembered: dict[Any, Any]) -> None:
    """What was committed at the former look must still stand where it stood.

    (What is committed now may have been read from another log already, which had grown past the position.)
    """
    starts, ends = await consumer.beginning_offsets([*known]), await consumer.end_offsets([*known])
    for tp, now in known.items():
        former = remembered.get(tp, now)
        offset, mark = former.offset, former.metadata.partition(":")[2]
        if starts[tp] >= offset:  # read, and deleted since
            offset, mark = now.offset, ""
        await check_log(consumer, tp, offset, mark, starts[tp], ends[tp])
    remembered.update(known)


def _without_offset(tp: Any) -> IncarnationError:
    return IncarnationError(
        f"{tp.topic}/{tp.partition}: was read before, but the group has no offset in it: it was "
        f"recreated, or the group has expired: `streamwise topics --reopen {tp.topic}`"
    )


async def read_lives(consumer: Any, settings: Settings) -> tuple[Incarnations, Layout | None]:
    """Our identity records, and whether the topic is wholly written."""
    tp = TopicPartition(settings.kafka.topic(Topic.STATE), 0)
    start, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
    lives: Incarnations = {}
    layout: Layout | None = None
    async for record in read_range(consumer, tp.topic, 0, start, end):
        key = record.key or b""
        if key.startswith(LIFE):
            topic, _, partition = key.removeprefix(LIFE).rpartition(b"/")
            lives[topic.decode(errors="replace"), number_of(partition, b"")] = number_of(
                record.value or b"", b""
            )
        elif key == LAYOUT:
            layout = read_layout(record.value)
    return lives, layout


async def write_lives(settings: Settings, lives: Mapping[tuple[str, int], int]) -> None:
    """Append identity records."""
    state = settings.kafka.topic(Topic.STATE)
    async with idempotent_producer(settings.kafka) as producer:
        for (topic, partition), number in lives.items():
            key = LIFE + f"{topic}/{partition}".encode()
            await producer.send(state, b"%d" % number, key=key, partition=0)
        await producer.flush()


async def check_log(
    consumer: Any, tp: Any, offset: int, mark: str, start: int, end: int, *, own: bool = False
) -> None:
    """Refuse a log in which ``offset`` is not the place that was committed.

    Parameters
    ----------
    own
        It is ``events``: state and signals were made from what is not there any more.
    """
    where = f"{tp.topic}/{tp.partition}"
    remedy = RESTORE if own else f"if it was recreated on purpose: `streamwise topics --reopen {tp.topic}`"
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
        lives, _ = await read_lives(consumer, settings)
    opened = {(tp.topic, tp.partition): lives.get((tp.topic, tp.partition), 0) + 1 for tp in partitions}
    await write_lives(settings, opened)
    await commit(
        settings,
        {tp: OffsetAndMetadata(starts[tp], f"{opened[tp.topic, tp.partition]}:") for tp in partitions},
    )
    return opened


async def commit(settings: Settings, offsets: dict[Any, Any], *, unless_there: bool = False) -> None:
    """Commit for the group from outside; the broker refuses it while the group has members.

    A member that has just left may count as one until its session is over: hence the patience.

    Parameters
    ----------
    unless_there
        Refused, be content with what the group has: another worker that started at the same time was faster.
    """
    group, patience = settings.kafka.group, 2 * settings.kafka.session_seconds
    deadline = monotonic() + patience
    while True:
        consumer = AIOKafkaConsumer(**connection(settings.kafka), group_id=group, enable_auto_commit=False)
        await connect(consumer)
        try:
            consumer.assign(list(offsets))
            await consumer.commit(offsets)
        except KafkaError as error:
            if unless_there and await _has_all(settings, list(offsets)):
                return
            if monotonic() > deadline:
                remedy = "stop its workers first"
                raise UnavailableError(f"{group}: offsets cannot be set ({error!r}): {remedy}") from error
        else:
            return
        finally:
            await closed(consumer.stop())
        await asyncio.sleep(0.5)


async def committed_by(settings: Settings, partitions: list[Any]) -> dict[Any, Any]:
    """What the group committed, metadata included."""
    async with admin(settings.kafka) as client:
        found: dict[Any, Any] = await insist(
            lambda: client.list_consumer_group_offsets(settings.kafka.group, partitions=partitions)
        )
    return found


async def _has_all(settings: Settings, partitions: list[Any]) -> bool:
    """Whether the group has an offset in each partition."""
    found = await committed_by(settings, partitions)
    return all(tp in found and found[tp].offset >= 0 for tp in partitions)


async def _all_partitions(consumer: Any, topics: Iterable[str]) -> list[Any]:
    found = []
    for topic in topics:
        await consumer._client._wait_on_metadata(topic)  # noqa: SLF001  there is no public way to ask for one topic
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise UnavailableError(f"{topic}: no such topic: run `streamwise topics --create`")
        found += [TopicPartition(topic, n) for n in sorted(numbers)]
    return found
