"""Which writing of ``events`` and ``state`` a deployment lives in, and whether it is whole.

``streamwise repartition`` writes both topics anew under other names (``events-2``), and ``streamwise
restore`` writes them from a backup.  In partition 0 of the new ``state`` stands whether the writing has
ended; that one record is the switch.  Until it says ``ready`` no worker starts on the new topics; as soon
as they are there, none starts on the former ones.
"""

from typing import Literal

import msgspec

from schemas.errors import IncarnationError
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.kafka import idempotent_producer, read_range, reader
from streams.partitions import all_topics, partitions_of

LAYOUT = b"layout"
"""Key of the record, in partition 0 of ``state``."""


class Layout(msgspec.Struct, frozen=True):
    """State of a writing.

    Parameters
    ----------
    status
        ``"building"`` until everything is written, checked and committed.
    partitions
        Of its ``events``.
    """

    status: Literal["building", "ready"]
    partitions: int


_decode = msgspec.json.Decoder(Layout).decode


def read_layout(value: bytes | None) -> Layout | None:
    """The record's content; None for one that is none."""
    try:
        return _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


async def write_layout(kafka: KafkaSettings, layout: Layout) -> None:
    """Say how far the writing of this generation is."""
    async with idempotent_producer(kafka) as producer:
        value = msgspec.json.encode(layout)
        await producer.send_and_wait(kafka.topic(Topic.STATE), value, key=LAYOUT, partition=0)


def next_generation(kafka: KafkaSettings) -> KafkaSettings:
    """Settings of the writing after this one."""
    return msgspec.structs.replace(kafka, generation=kafka.generation + 1)


async def layout_of(kafka: KafkaSettings) -> Layout | None:
    """What stands in ``state``; None for the first writing, and for topics that are not there."""
    partitions = await partitions_of(kafka, Topic.STATE)
    if not partitions:
        return None
    tp = partitions[0]
    found: Layout | None = None
    async with reader(kafka) as consumer:
        start, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
        async for record in read_range(consumer, tp.topic, 0, start, end):
            if record.key == LAYOUT:
                found = read_layout(record.value)
    return found


async def refuse_former(kafka: KafkaSettings) -> None:
    """Refuse to work on topics that a later writing replaces, or is about to.

    Raises
    ------
    IncarnationError
        Says whether to set other settings, or to finish what was begun.
    """
    later = await refuse_done(kafka)
    if later:
        raise IncarnationError(
            f"{later[-1].topic(Topic.STATE)}: a repartition was begun and has not ended: wait for it, run it "
            "again, or give it up (`streamwise repartition --abandon`)"
        )


async def refuse_done(kafka: KafkaSettings) -> list[KafkaSettings]:
    """Refuse a writing that has been replaced; later ones that have not ended.

    Raises
    ------
    IncarnationError
        Names the newest that has ended.
    """
    unfinished = []
    for later in reversed(await later_generations(kafka)):
        layout = await layout_of(later)
        if layout is not None and layout.status == "ready":
            raise IncarnationError(
                f"kafka.generation: {kafka.generation}: this deployment was repartitioned: for every process "
                f"set kafka.generation = {later.generation} and kafka.partitions = {layout.partitions}"
            )
        unfinished.append(later)
    return unfinished


async def later_generations(kafka: KafkaSettings) -> list[KafkaSettings]:
    """Writings after this one, ascending; those between may have been deleted when they were replaced."""
    first = msgspec.structs.replace(kafka, generation=1).topic(Topic.STATE)
    found = {}
    for name in await all_topics(kafka):
        digits = name.removeprefix(f"{first}-")
        if digits != name and digits.isdecimal():
            found[name] = msgspec.structs.replace(kafka, generation=int(digits))
    later = [
        k for name, k in found.items() if k.generation > kafka.generation and k.topic(Topic.STATE) == name
    ]
    return sorted(later, key=lambda k: k.generation)


def refuse_unfinished(kafka: KafkaSettings, layout: Layout | None) -> None:
    """Refuse topics whose writing has not ended.

    Raises
    ------
    IncarnationError
        Names the topic and the remedy.
    """
    if layout is None and kafka.generation == 1:
        return
    if layout is None or layout.status != "ready":
        remedy = (
            "delete the topics of this namespace and restore again"
            if kafka.generation == 1
            else f"set kafka.generation = {kafka.generation - 1} and run `streamwise repartition` again"
        )
        raise IncarnationError(f"{kafka.topic(Topic.STATE)}: its writing has not ended: {remedy}")
