"""Another number of partitions: ``events`` and ``state`` are written anew, beside the former ones.

Nothing of the former topics is changed.  The new ones bear the next generation's name; a record in the
new ``state`` says that they are whole, and that record is the switch: before it the deployment is where
it was (and whoever was interrupted begins again, or gives it up), after it nobody starts on the former
topics any more.  Only after a clean stop: every worker has drained, so that what was learned, what is in
the state, and what producers' offsets say is one point of the log.
"""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from models.users import checkpoint as shards
from schemas.errors import CorruptBlockError, IncarnationError, SettingsError, UnavailableError
from schemas.settings import KafkaSettings, Settings
from schemas.signals import decode_block
from schemas.topics import Topic
from streams.incarnations import commit, committed_by, read_lives, write_lives
from streams.kafka import admin, idempotent_producer, reader
from streams.layout import Layout, next_generation, refuse_done, write_layout
from streams.logs import Live, bounds, members_of, records_of
from streams.partitions import all_topics, partitions_of
from streams.provision import create, wanted
from streams.rewrite import Rewriting, Water, Written
from streams.state_store import Restored, restore
from streams.writer import LogWriter

MARGIN_MS = 600_000
"""A checkpoint's signals were appended before it was written, at most so long before."""

GONE_SECONDS = 60.0

DRAIN = "start `streamwise stream` once more, wait until /readyz answers 200, and stop it with SIGTERM"


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a repartition did, or would do.

    Parameters
    ----------
    generation, partitions
        To be set as ``kafka.generation`` and ``kafka.partitions`` for every process.
    records
        Of the former ``events``, and of the new ones; None for a dry run.
    former, topics
        Names of the former topics, which are left as they are, and of the new ones.
    """

    generation: int
    partitions: int
    records: int
    written: int | None
    people: int | None
    former: tuple[str, str]
    topics: tuple[str, str]


class _Stand(NamedTuple):
    """Where everything is while nobody works."""

    bounds: dict[int, tuple[int, int]]
    states: dict[int, Restored]
    signals_end: int


async def repartition(settings: Settings, partitions: int, *, now: int, dry_run: bool = False) -> Moved:
    """Move everybody to a new number of partitions; nobody may work meanwhile.

    Raises
    ------
    SettingsError
        The count is the present one, or the broker is one whose data ends with it.
    IncarnationError
        Was done before; or the deployment is not at rest.
    UnavailableError
        The group has members, or the broker does not answer.
    """
    kafka = settings.kafka
    _refuse_senseless(kafka, partitions)
    later = msgspec.structs.replace(next_generation(kafka), partitions=partitions)
    await refuse_done(kafka)
    await refuse_members(kafka)
    stand = await _stand(settings)
    sources = await _refuse_undrained(settings, stand)
    written = None if dry_run else await _write(settings, later, stand, sources, now)
    return Moved(
        generation=later.generation,
        partitions=partitions,
        records=sum(end - start for start, end in stand.bounds.values()),
        written=None if written is None else sum(w.length for w in written),
        people=None if written is None else sum(w.people for w in written),
        former=(kafka.topic(Topic.EVENTS), kafka.topic(Topic.STATE)),
        topics=(later.topic(Topic.EVENTS), later.topic(Topic.STATE)),
    )


async def abandon(settings: Settings) -> bool:
    """Delete what an interrupted repartition left; whether there was anything.

    Raises
    ------
    IncarnationError
        It had ended: the deployment lives in the new topics.
    """
    await refuse_done(settings.kafka)
    return await _delete(next_generation(settings.kafka))


# -- what must be so before anything is written


def _refuse_senseless(kafka: KafkaSettings, partitions: int) -> None:
    if kafka.dialect == "tansu":
        raise SettingsError(
            f"kafka.dialect: {kafka.dialect!r}: the embedded broker's data ends with it: "
            "set kafka.partitions and start anew"
        )
    if partitions == kafka.partitions:
        raise SettingsError(
            f"--partitions: {partitions}: events has that many already; choose another number"
        )


async def refuse_members(kafka: KafkaSettings) -> None:
    """Refuse while somebody works; a member that has just left counts until its session is over."""
    deadline = monotonic() + 2 * kafka.session_seconds
    while members := await members_of(kafka):
        if monotonic() > deadline:
            raise UnavailableError(
                f"{kafka.group}: {len(members)} workers are members of the group ({', '.join(members[:3])}): "
                "stop all `streamwise stream` and `api` processes first"
            )
        await asyncio.sleep(0.5)


async def _stand(settings: Settings) -> _Stand:
    kafka = settings.kafka
    found = await bounds(kafka, Topic.EVENTS)
    if len(found) != kafka.partitions:
        raise SettingsError(
            f"kafka.partitions: {kafka.partitions}: {kafka.topic(Topic.EVENTS)} has {len(found)}: "
            "set the present count here, and the new one by --partitions"
        )
    states = {number: await restore(kafka, number) for number in found}
    return _Stand(found, states, (await bounds(kafka, Topic.SIGNALS))[0][1])


async def _refuse_undrained(settings: Settings, stand: _Stand) -> tuple[Water, ...]:
    """Refuse unless state, signals and producers' offsets are one point; the high-waters that stay."""
    kafka = settings.kafka
    for number, state in stand.states.items():
        if state.unfinished:
            raise IncarnationError(
                f"{kafka.topic(Topic.STATE)}/{number}: a checkpoint has not ended: {DRAIN}"
            )
    covered = await _covered(settings, stand)
    for number, state in stand.states.items():
        applied = -1 if state.checkpoint is None else state.checkpoint.applied
        if covered.get(number, -1) > applied:
            raise IncarnationError(
                f"{kafka.topic(Topic.EVENTS)}/{number}: learned up to {covered[number]}, but the state ends "
                f"at {applied}: the last worker did not drain: {DRAIN}"
            )
    return await _waters(settings, stand)


async def _covered(settings: Settings, stand: _Stand) -> dict[int, int]:
    """End of the last cover of each partition's present life, from the signals since its checkpoint."""
    kafka, ends = settings.kafka, dict[int, int]()
    lives = {n: 0 if s.checkpoint is None else s.checkpoint.incarnation for n, s in stand.states.items()}
    start = await _before_checkpoints(kafka, stand)
    async for record in records_of(kafka, kafka.topic(Topic.SIGNALS), 0, start=start, end=stand.signals_end):
        try:
            cover = decode_block(record.value or b"").cover
        except CorruptBlockError:  # the learner passes over it, too
            continue
        if cover is not None and lives.get(cover.partition) == cover.incarnation:
            ends[cover.partition] = max(ends.get(cover.partition, -1), cover.to)
    return ends


async def _before_checkpoints(kafka: KafkaSettings, stand: _Stand) -> int | None:
    """Offset in ``signals`` before which nothing concerns events behind a checkpoint; None: all does."""
    clocks = []
    for state in stand.states.values():
        if state.checkpoint is None:
            return None
        clocks.append(state.written_at)
    tp = TopicPartition(kafka.topic(Topic.SIGNALS), 0)
    async with reader(kafka) as consumer:
        found = (await consumer.offsets_for_times({tp: max(0, min(clocks) - MARGIN_MS)}))[tp]
    return stand.signals_end if found is None else int(found.offset)


async def _waters(settings: Settings, stand: _Stand) -> tuple[Water, ...]:
    """High-waters of producers' topics, the highest of all partitions: each must be committed."""
    highest: dict[tuple[str, int, int], tuple[int, int]] = {}
    for state in stand.states.values():
        if state.checkpoint is None:
            continue
        for topic, partition, life, offset, index in shards.Checkpoint.decode(state.checkpoint.shard).sources:
            key = topic, partition, life
            highest[key] = max(highest.get(key, (-1, -1)), (offset, index))
    await refuse_uncommitted(settings, {key: offset for key, (offset, _) in highest.items()})
    return tuple((*key, *place) for key, place in sorted(highest.items()))


async def refuse_uncommitted(settings: Settings, landed: Mapping[tuple[str, int, int], int]) -> None:
    """Refuse if producers' records that are in ``events`` would be delivered once more."""
    async with reader(settings.kafka) as consumer:
        lives, _ = await read_lives(consumer, settings)
    present = {(t, p): offset for (t, p, life), offset in landed.items() if lives.get((t, p)) == life}
    committed = await committed_by(settings, [TopicPartition(*place) for place in present])
    for (topic, partition), offset in present.items():
        known = committed.get(TopicPartition(topic, partition))
        if known is None or known.offset <= offset:
            raise IncarnationError(
                f"{topic}/{partition}: record {offset} is in events, but the group has committed "
                f"{-1 if known is None else known.offset}: the last worker did not drain: {DRAIN}"
            )


# -- writing


async def _write(
    settings: Settings, later: KafkaSettings, stand: _Stand, sources: tuple[Water, ...], now: int
) -> list[Written]:
    kafka = settings.kafka
    await _delete(later)
    fresh = msgspec.structs.replace(settings, kafka=later)
    await _create(fresh)
    await write_layout(later, Layout("building", later.partitions))
    former = Live(kafka, {number: end for number, (_, end) in stand.bounds.items()})
    written = await rewrite(former, fresh, sources, now, settings)
    await _refuse_changed(settings, stand)
    async with reader(kafka) as consumer:
        lives, _ = await read_lives(consumer, settings)
    await write_lives(fresh, lives)
    await finish(fresh, written)
    return written


async def rewrite(
    former: Any, fresh: Settings, sources: tuple[Water, ...], now: int, committed: Settings | None = None
) -> list[Written]:
    """Write ``events`` and ``state`` of ``fresh``; its topics are empty.

    Parameters
    ----------
    committed
        A deployment whose group must have committed everything that its ``events`` hold.
    """
    kafka = fresh.kafka
    async with idempotent_producer(kafka) as producer:
        events, state = (LogWriter(producer, kafka.topic(t)) for t in (Topic.EVENTS, Topic.STATE))
        try:
            run = Rewriting(former, kafka.partitions, events=events, state=state, sources=sources, now=now)
            written = await run.run()
        finally:
            await events.stop()
            await state.stop()
    if committed is not None:
        await refuse_uncommitted(committed, run.landed)
    found = await bounds(kafka, Topic.EVENTS)
    for number, new in enumerate(written):
        if found[number] != (0, new.length):
            raise IncarnationError(
                f"{kafka.topic(Topic.EVENTS)}/{number}: holds {found[number]}, written were {new.length}: "
                "somebody else writes to it: stop them, and begin again"
            )
    return written


async def finish(fresh: Settings, written: list[Written]) -> None:
    """Commit where the new owners go on; then the record that is the switch."""
    topic = fresh.kafka.topic(Topic.EVENTS)
    offsets = {
        TopicPartition(topic, n): OffsetAndMetadata(w.applied + 1, f"0:{w.mark}")
        for n, w in enumerate(written)
    }
    await commit(fresh, offsets)
    await write_layout(fresh.kafka, Layout("ready", fresh.kafka.partitions))


async def _refuse_changed(settings: Settings, stand: _Stand) -> None:
    """Refuse the switch if somebody has worked meanwhile."""
    await refuse_members(settings.kafka)
    ends = {n: end for n, (_, end) in (await bounds(settings.kafka, Topic.EVENTS)).items()}
    signals = (await bounds(settings.kafka, Topic.SIGNALS))[0][1]
    for number, (_, end) in stand.bounds.items():
        if ends[number] != end or signals != stand.signals_end:
            raise IncarnationError(
                f"{settings.kafka.topic(Topic.EVENTS)}: grew while it was written anew: stop every process "
                "that writes (the API does, too), and run this again"
            )


async def _create(fresh: Settings) -> None:
    """The new topics; ``recommendations`` gets the partitions that it lacks."""
    kafka = fresh.kafka
    async with admin(kafka) as client:
        for name, spec in wanted(fresh):
            if spec.topic in {Topic.EVENTS, Topic.STATE}:
                await create(client, name, spec, fresh)
        lists = len(await partitions_of(kafka, Topic.RECOMMENDATIONS))
        if lists < kafka.partitions:
            name = kafka.topic(Topic.RECOMMENDATIONS)
            response = await client.create_partitions({name: NewPartitions(kafka.partitions)})
            for _, code, message in response.topic_errors:
                if code:
                    raise UnavailableError(f"{name}: cannot be enlarged (error {code}: {message})")


async def _delete(later: KafkaSettings) -> bool:
    """Delete the topics of an unfinished writing, and wait until they are gone."""
    names = [later.topic(Topic.EVENTS), later.topic(Topic.STATE)]
    there = [name for name in names if name in await all_topics(later)]
    if not there:
        return False
    async with admin(later) as client:
        try:
            await client.delete_topics(there)
        except KafkaError as error:
            raise UnavailableError(f"{', '.join(there)}: cannot be deleted ({error!r})") from error
    deadline = monotonic() + GONE_SECONDS
    while set(there) & set(await all_topics(later)):
        if monotonic() > deadline:
            raise UnavailableError(f"{', '.join(there)}: still there after {GONE_SECONDS:.0f} s: delete them")
        await asyncio.sleep(0.5)
    return True
