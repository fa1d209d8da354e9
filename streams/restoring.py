"""Putting a backup into an empty deployment: every log anew, each partition of ``events`` in a new life.

Offsets begin at 0 on a new broker, so nothing that names one may be taken over as it is: ``events`` and
``state`` are written by ``streams.rewrite`` (with any number of partitions), rows of ``signals`` beyond
the state are cut off, because the new owners will derive them again, snapshots of models are given the
place of their next block in the new log, and the group begins in a new life of every producers' topic.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from models.fold import take
from schemas.errors import ArchiveError, CorruptBlockError, IncarnationError, SnapshotError
from schemas.ids import partition_of
from schemas.settings import KafkaSettings, Settings
from schemas.signals import Cover, SignalBlock, decode_block, encode_block
from schemas.snapshots import peek
from schemas.topics import CATALOGUE, SOURCES, Topic, topic_name
from streams.archive import FileEntry, Manifest, Place, read_manifest, records_in, verify
from streams.backup import SHARED, SHOWN
from streams.incarnations import check_log, commit, write_lives
from streams.kafka import idempotent_producer, reader
from streams.layout import Layout, later_generations, write_layout
from streams.learner import Snapshots
from streams.logs import bounds, members_of
from streams.partitions import all_topics
from streams.provision import provision
from streams.repartition import finish, rewrite
from streams.rewrite import Kept
from streams.state_store import Restored, Sweeps
from streams.writer import LogWriter, Outgoing

AT_ONCE = 500
PARTS = ("interactions", "exposures", "rewards", "probes")


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did, or would do.

    Parameters
    ----------
    records
        Written, by topic; of a dry run: in the backup.
    people
        In the state; None for a dry run.
    """

    directory: str
    namespace: str
    partitions: int
    records: dict[str, int]
    people: int | None
    notes: tuple[str, ...]


class Archived:
    """``events`` and ``state`` of a backup."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self._directory = directory
        self.topic = manifest.events
        self._events = files_of(manifest, Topic.EVENTS)
        self._state = files_of(manifest, Topic.STATE)

    @property
    def numbers(self) -> Sequence[int]:
        """Partitions, ascending."""
        return sorted(self._events)

    async def state(self, partition: int) -> Restored:
        """Blocks and checkpoint."""
        sweeps = Sweeps()
        if partition in self._state:
            for record in records_in(self._directory / self._state[partition].path):
                sweeps.take(record)
        return sweeps.restored()

    async def events(self, partition: int) -> AsyncIterator[Kept]:
        """Records, in order."""
        for record in records_in(self._directory / self._events[partition].path):
            yield record


def files_of(manifest: Manifest, topic: Topic) -> dict[int, FileEntry]:
    """Files of a topic by partition."""
    return {entry.partition: entry for entry in manifest.files if entry.topic == topic.value}


async def restore_backup(
    settings: Settings,
    directory: Path,
    *,
    now: int,
    dry_run: bool = False,
    said: Callable[[str], None] = lambda _: None,
) -> Brought:
    """Restore a backup into the (empty) namespace of the settings.

    Raises
    ------
    ArchiveError
        The backup is damaged, or the place is not empty; nothing was written then.
    UnavailableError
        The broker does not answer.
    """
    manifest = read_manifest(directory)
    said("checksums")
    verify(directory, manifest)
    await _refuse_used(settings)
    done = Brought(
        directory=str(directory),
        namespace=settings.kafka.namespace,
        partitions=settings.kafka.partitions,
        records=_totals(manifest),
        people=None,
        notes=manifest.notes,
    )
    if dry_run:
        return done
    await provision(settings)
    await write_layout(settings.kafka, Layout("building", settings.kafka.partitions))
    models = _snapshots(settings, directory, manifest)
    places, records = await _copy_topics(settings, directory, manifest, models, said)
    said(Topic.EVENTS.value)
    new = await rewrite(Archived(directory, manifest), settings, (), now)
    for model in models:
        model.write(settings.kafka.namespace)
    await _go_on(settings, manifest, places)
    await finish(settings, new)
    records |= {Topic.EVENTS.value: sum(n.length for n in new)}
    return msgspec.structs.replace(done, records=records, people=sum(n.people for n in new))


def _totals(manifest: Manifest) -> dict[str, int]:
    totals: dict[str, int] = {}
    for entry in manifest.files:
        totals[entry.topic] = totals.get(entry.topic, 0) + entry.records
    return totals


# -- where it goes


async def _refuse_used(settings: Settings) -> None:
    """Refuse a namespace with records, a group with members, and a directory with snapshots."""
    kafka = settings.kafka
    if kafka.generation != 1:
        raise ArchiveError(f"kafka.generation: {kafka.generation}: a restore makes the first: set 1")
    there = await all_topics(kafka)
    remedy = "restore into another kafka.namespace, or delete the topics of this one"
    for later in await later_generations(kafka):
        raise ArchiveError(f"{later.topic(Topic.STATE)}: is of a later generation: {remedy}")
    for spec in CATALOGUE:
        if kafka.topic(spec.topic) in there:
            for number, (start, end) in (await bounds(kafka, spec.topic)).items():
                if end > start:
                    raise ArchiveError(
                        f"{kafka.topic(spec.topic)}/{number}: holds {end - start} records: {remedy}"
                    )
    if members := await members_of(kafka):
        raise ArchiveError(f"{kafka.group}: the group has {len(members)} members: stop them, or name another")
    for key, place in (("learner", settings.learner.directory), ("audit", settings.audit.directory)):
        if Snapshots(Path(place), kafka.namespace).paths():
            what = "holds snapshots of another log"
            raise ArchiveError(f"{key}.directory: {place!r}: {what}: name an empty one")


# -- topics that are copied


async def _copy_topics(
    settings: Settings,
    directory: Path,
    manifest: Manifest,
    models: Sequence["_Snapshot"],
    said: Callable[[str], None],
) -> tuple[dict[tuple[str, int], int], dict[str, int]]:
    """Everything but events and state.

    Returns
    -------
    tuple
        How much of the group's topics was read, by topic and new partition; records written by topic.
    """
    kafka = settings.kafka
    counts = {topic: len(await bounds(kafka, topic)) for topic in (*SHOWN, *SHARED)}
    read = {(p.topic, p.partition): p.offset for p in manifest.committed}
    places: dict[tuple[str, int], int] = {}
    records: dict[str, int] = {}
    async with idempotent_producer(kafka) as producer:
        for topic in (*SHARED, *SHOWN):
            said(topic.value)
            writer = LogWriter(producer, kafka.topic(topic))
            former = topic_name(topic, manifest.namespace)
            for unread in (False, True):  # partitions may be put together: what was read comes first in all
                for number, entry in sorted(files_of(manifest, topic).items()):
                    home, known = number % counts[topic], read.get((former, number), 0)
                    kept = (r for r in records_in(directory / entry.path) if (r.offset >= known) is unread)
                    n = await _send(writer, kept, _router(topic, home, kafka))
                    records[topic.value] = records.get(topic.value, 0) + n
                    if topic in SHARED and not unread:
                        place = kafka.topic(topic), home
                        places[place] = places.get(place, 0) + n
            await writer.stop()
        said(Topic.SIGNALS.value)
        writer = LogWriter(producer, kafka.topic(Topic.SIGNALS))
        records[Topic.SIGNALS.value] = await _copy_signals(writer, directory, manifest, models)
        await writer.stop()
    return places, records


def _router(topic: Topic, home: int, kafka: KafkaSettings) -> Callable[[Kept], int | None]:
    """Which partition a record goes to; None: it is left out."""
    if topic is not Topic.RECOMMENDATIONS:
        return lambda _: home

    def route(record: Kept) -> int | None:
        if record.value is None:  # a heartbeat
            return None
        return partition_of((record.key or b"").decode(errors="replace"), kafka.partitions)

    return route


async def _send(writer: LogWriter, kept: Iterator[Kept], route: Callable[[Kept], int | None]) -> int:
    """Append records; returns how many when the broker has them."""
    count = 0
    for run in _runs(kept):
        await writer.room()
        by_partition: dict[int, list[Outgoing]] = {}
        for r in run:
            if (to := route(r)) is not None:
                by_partition.setdefault(to, []).append(Outgoing(r.key, r.value, r.headers, r.timestamp))
        for to, records in by_partition.items():
            await writer.put(to, records)
            count += len(records)
    return count


def _runs(records: Iterator[Kept]) -> Iterator[list[Kept]]:
    run: list[Kept] = []
    for record in records:
        run.append(record)
        if len(run) >= AT_ONCE:
            yield run
            run = []
    if run:
        yield run


async def _copy_signals(
    writer: LogWriter, directory: Path, manifest: Manifest, models: Sequence["_Snapshot"]
) -> int:
    """Append blocks, without what lies beyond the states; tell snapshots their place; how many."""
    cut, count = await _cuts(directory, manifest), 0
    for entry in files_of(manifest, Topic.SIGNALS).values():
        for run in _runs(records_in(directory / entry.path)):
            await writer.room()
            out = []
            for record in run:
                value = trimmed(record.value, cut)
                if value is not None:
                    for model in models:
                        model.place += record.offset < model.offset
                    out.append(Outgoing(record.key, value, record.headers, record.timestamp))
            if out:
                await writer.put(0, out)
                count += len(out)
    return count


async def _cuts(directory: Path, manifest: Manifest) -> dict[tuple[int, int], int]:
    """By partition and its present life: the last event that the state contains."""
    archived, cuts = Archived(directory, manifest), {}
    for number in archived.numbers:
        checkpoint = (await archived.state(number)).checkpoint
        life = 0 if checkpoint is None else checkpoint.incarnation
        cuts[number, life] = -1 if checkpoint is None else checkpoint.applied
    return cuts


def trimmed(data: bytes | None, cut: Mapping[tuple[int, int], int]) -> bytes | None:
    """A block without rows of events beyond its partition's cut; None if nothing is left.

    What is no block stays what it is: readers pass over it.
    """
    try:
        block = decode_block(data or b"")
    except CorruptBlockError:
        return data or b""
    cover = block.cover
    end = None if cover is None else cut.get((cover.partition, cover.incarnation))
    if cover is None or end is None or cover.to <= end:
        return data
    if cover.after >= end:
        return encode_block(SignalBlock(cover=None, controls=block.controls)) if block.controls else None
    parts = {name: take(rows, rows.offset <= end) for name in PARTS if len(rows := getattr(block, name))}
    ended = Cover(cover.partition, cover.incarnation, cover.after, end)
    return encode_block(replace(block, cover=ended, beat=0, **parts))


# -- models, offsets, lives


@dataclass
class _Snapshot:
    """A snapshot of folds on its way to another log.

    Attributes
    ----------
    offset, place
        Of the next block to be folded: in the former log, and in the new one.
    """

    path: Path
    home: Path
    offset: int
    place: int = 0

    def write(self, namespace: str) -> None:
        """Write it where its owner looks for it."""
        data = bytes(peek(self.path.read_bytes())[0]["engine"])
        Snapshots(self.home, namespace).write(self.place, data)


def _snapshots(settings: Settings, directory: Path, manifest: Manifest) -> list[_Snapshot]:
    homes = {"learner": Path(settings.learner.directory), "auditor": Path(settings.audit.directory)}
    found = []
    for entry in manifest.files:
        if entry.topic in homes:
            path = directory / entry.path
            try:
                _, meta = peek(path.read_bytes())
                found.append(_Snapshot(path, homes[entry.topic], int(meta["offset"])))
            except (SnapshotError, KeyError) as error:
                raise ArchiveError(f"{path}: damaged ({error}): restore another backup") from error
    return found


async def _go_on(settings: Settings, manifest: Manifest, places: Mapping[tuple[str, int], int]) -> None:
    """A new life of every topic that the group reads; where it begins is committed first."""
    kafka, there = settings.kafka, await all_topics(settings.kafka)
    lives: dict[tuple[str, int], int] = {}
    offsets: dict[TopicPartition, OffsetAndMetadata] = {}
    names = {kafka.topic(t): topic_name(t, manifest.namespace) for t in (*SOURCES, *SHARED)}
    names |= {m.topic: m.topic for m in settings.intake.mappings if m.topic in there}
    async with reader(kafka) as consumer:
        for name, former in names.items():
            life = 1 + max((n for topic, _, n in manifest.lives if topic == former), default=-1)
            known = {p.partition: p for p in manifest.committed if p.topic == former}
            for number in range(there[name]):
                tp = TopicPartition(name, number)
                begin = places.get((name, number))
                if begin is None:
                    begin = await _beginning(consumer, tp, known.get(number), same=name == former)
                offsets[tp] = OffsetAndMetadata(begin, f"{life}:")
                lives[name, number] = life
    await commit(settings, offsets)
    await write_lives(settings, lives)


async def _beginning(consumer: Any, tp: TopicPartition, known: Place | None, *, same: bool) -> int:
    """Where intake begins to read a topic that was not restored.

    A topic that has no namespace may be the very log that was read before (restored beside it, on the
    same broker): then behind what was read.
    """
    start = int((await consumer.beginning_offsets([tp]))[tp])
    if not same or known is None or not known.mark:
        return start
    end = int((await consumer.end_offsets([tp]))[tp])
    try:
        await check_log(consumer, tp, known.offset, known.mark, start, end)
    except IncarnationError:  # another log under the same name
        return start
    return max(start, known.offset)
