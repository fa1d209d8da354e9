"""A consistent cut of a running deployment, written to a directory.

What counts is the order of looking.  Snapshots of models first, and of these the newest that has learned
nothing beyond the state; then what the group has committed; then each partition's state, whose
checkpoint is the cut of that partition; then the ends of ``recommendations``, of ``signals``, and of
``events`` last.  So every list that the state takes for published is in the backup, every list in it is
logged in its ``events``, every row that the state accounts for is in its ``signals`` (rows beyond it are
cut off when it is restored), and what ``events`` holds beyond the state is applied after the restore as
after any takeover.  What producers had sent and intake had not read is not in it.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
from aiokafka import TopicPartition

from schemas.errors import ArchiveError, SnapshotError
from schemas.settings import KafkaSettings, Settings
from schemas.snapshots import Buffer, peek
from schemas.topics import SOURCES, Topic
from streams.archive import (
    FileEntry,
    Manifest,
    Place,
    RecordFile,
    refuse_used,
    write_file,
    write_manifest,
)
from streams.incarnations import committed_by, read_lives
from streams.kafka import reader
from streams.layout import refuse_former, refuse_unfinished
from streams.learner import Snapshots
from streams.logs import bounds, records_of
from streams.partitions import all_topics
from streams.rewrite import Kept
from streams.state_store import CHECKPOINT_KEY, Restored, block_row, encode_checkpoint, restore

SHOWN = (Topic.RECOMMENDATIONS, Topic.CAUSAL_REPORTS, Topic.DEAD_LETTERS)
SHARED = (Topic.ITEMS, Topic.USERS, Topic.EMBEDDINGS)
LOGS = (Topic.SIGNALS, Topic.EVENTS)

Bounds = dict[int, tuple[int, int]]
HighWaters = dict[tuple[int, int], int]


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, or would hold.

    Parameters
    ----------
    records
        By topic.
    size
        Bytes on disk.
    """

    directory: str
    records: dict[str, int]
    size: int
    notes: tuple[str, ...]


class Snapshot(NamedTuple):
    """A snapshot file, held open: its owner may remove it meanwhile."""

    path: Path
    file: BinaryIO
    offset: int
    high_waters: HighWaters


async def backup(
    settings: Settings,
    directory: Path,
    *,
    shown_settings: dict[str, Any],
    version: str,
    now: int,
    dry_run: bool = False,
    said: Callable[[str], None] = lambda _: None,
) -> Copied:
    """Write a backup of the deployment.

    Parameters
    ----------
    shown_settings
        The settings without secrets.
    said
        Told which topic is being written.

    Raises
    ------
    ArchiveError
        The directory is used, there is no room, or the models could not be restored from what is here.
    UnavailableError, IncarnationError
        The broker does not answer; the deployment is being repartitioned or restored.
    """
    refuse_used(directory)
    kafka = settings.kafka
    await refuse_former(kafka)
    with ExitStack() as stack:
        models = _held(stack, Snapshots(Path(settings.learner.directory), kafka.namespace))
        audits = _held(stack, Snapshots(Path(settings.audit.directory), kafka.namespace))
        async with reader(kafka) as consumer:
            lives, layout = await read_lives(consumer, settings)
        refuse_unfinished(kafka, layout)
        committed = await _committed(settings)
        files, waters = await _copy_state(kafka, directory, dry_run=dry_run)
        ends = {topic: await _bounds(kafka, topic) for topic in (*SHARED, *SHOWN, *LOGS)}
        chosen = {
            "learner": _choose(models, waters, ends[Topic.SIGNALS][0]),
            "auditor": _choose(audits, waters, ends[Topic.SIGNALS][0]),
        }
        notes = _judge(settings, chosen, ends[Topic.SIGNALS][0][0])
        if dry_run:
            records = {t.value: sum(end - start for start, end in b.values()) for t, b in ends.items()}
            return Copied(directory=str(directory), records=records, size=0, notes=notes)
        for topic, found in ends.items():
            said(topic.value)
            files += [await _copy(kafka, directory, topic, p, at) for p, at in found.items()]
        for role, snapshot in chosen.items():
            if snapshot is not None:
                files.append(write_file(directory, f"{role}.snapshot", role, snapshot.file.read()))
    manifest = Manifest(
        version=version,
        created=now,
        namespace=kafka.namespace,
        events=kafka.topic(Topic.EVENTS),
        partitions=len(ends[Topic.EVENTS]),
        applied={p: waters.get(p, (0, -1))[1] for p in ends[Topic.EVENTS]},
        committed=committed,
        lives=tuple((*place, life) for place, life in sorted(lives.items())),
        settings=shown_settings,
        files=tuple(files),
        notes=notes,
    )
    write_manifest(directory, manifest)
    return summary(directory, manifest)


def summary(directory: Path, manifest: Manifest) -> Copied:
    """A backup in figures."""
    records: dict[str, int] = {}
    for entry in manifest.files:
        records[entry.topic] = records.get(entry.topic, 0) + entry.records
    size = sum(entry.size for entry in manifest.files)
    return Copied(directory=str(directory), records=records, size=size, notes=manifest.notes)


async def _bounds(kafka: KafkaSettings, topic: Topic) -> Bounds:
    found = await bounds(kafka, topic) if kafka.topic(topic) in await all_topics(kafka) else {}
    if not found and topic in LOGS:
        raise ArchiveError(f"{kafka.topic(topic)}: no such topic: there is no deployment to back up here")
    return found


async def _copy_state(
    kafka: KafkaSettings, directory: Path, *, dry_run: bool
) -> tuple[list[FileEntry], dict[int, tuple[int, int]]]:
    """Write state; by partition, the life and the last event of its checkpoint."""
    files: list[FileEntry] = []
    waters: dict[int, tuple[int, int]] = {}
    for number in await _bounds(kafka, Topic.STATE):
        restored = await restore(kafka, number)
        if restored.checkpoint is not None:
            waters[number] = restored.checkpoint.incarnation, restored.checkpoint.applied
        if not dry_run:
            with RecordFile(directory, Topic.STATE.value, number) as file:
                for record in state_records(restored):
                    file.append(record)
                files.append(file.finish())
    return files, waters


def state_records(restored: Restored) -> Iterable[Kept]:
    """A partition's state as records: its blocks, then its checkpoint row."""
    checkpoint = restored.checkpoint
    if checkpoint is None:
        return
    for number, block in sorted(restored.blocks.items()):
        row = block_row(number, block, checkpoint.applied)
        yield Kept(number, restored.written_at, row.key, row.value, tuple(row.headers))
    end = len(restored.blocks)
    yield Kept(end, restored.written_at, CHECKPOINT_KEY, encode_checkpoint(checkpoint))


async def _copy(
    kafka: KafkaSettings, directory: Path, topic: Topic, partition: int, at: tuple[int, int]
) -> FileEntry:
    with RecordFile(directory, topic.value, partition) as file:
        start, end = at
        async for record in records_of(kafka, kafka.topic(topic), partition, start=start, end=end):
            file.append(record)
        return file.finish()


async def _committed(settings: Settings) -> tuple[Place, ...]:
    """What the group has read of producers' and shared topics."""
    kafka, there = settings.kafka, await all_topics(settings.kafka)
    names = [kafka.topic(t) for t in (*SOURCES, *SHARED)] + [m.topic for m in settings.intake.mappings]
    places = [TopicPartition(name, p) for name in names for p in range(there.get(name, 0))]
    found = await committed_by(settings, places)
    return tuple(
        Place(tp.topic, tp.partition, known.offset, known.metadata.partition(":")[2])
        for tp, known in sorted(found.items())
        if known.offset >= 0
    )


def _held(stack: ExitStack, snapshots: Snapshots) -> list[Snapshot]:
    """Those that can be read, newest first."""
    held: list[Snapshot] = []
    for path in reversed(snapshots.paths()):
        try:
            file = stack.enter_context(path.open("rb"))
            parts, meta = peek(file.read())
            waters = high_waters(parts["engine"])
        except (OSError, SnapshotError, KeyError):  # an older one may do
            continue
        file.seek(0)
        held.append(Snapshot(path, file, int(meta["offset"]), waters))
    return held


def high_waters(data: Buffer) -> HighWaters:
    """How far each life of each partition of ``events`` is in a snapshot of folds."""
    parts, meta = peek(data)
    if "high_water" in meta:
        return {(partition, life): to for partition, life, to in meta["high_water"]}
    return high_waters(parts["log"])


def _choose(
    found: Iterable[Snapshot], waters: Mapping[int, tuple[int, int]], at: tuple[int, int]
) -> Snapshot | None:
    """The newest that has learned nothing beyond the state, and that the log still reaches."""
    start, end = at
    for snapshot in found:
        ahead = any((life, to) > waters.get(p, (0, -1)) for (p, life), to in snapshot.high_waters.items())
        if not ahead and start <= snapshot.offset <= end:
            return snapshot
    return None


def _judge(settings: Settings, chosen: Mapping[str, Snapshot | None], start: int) -> tuple[str, ...]:
    """What will be missing; refuse if models could not be restored."""
    if not start:
        return ()
    begins = f"{settings.kafka.topic(Topic.SIGNALS)} begins at {start}"
    if chosen["learner"] is None:
        raise ArchiveError(
            f"learner.directory: {settings.learner.directory!r}: {begins}, and no snapshot here reaches back "
            "to the state: run this on a host that learns, a minute after it began"
        )
    if chosen["auditor"] is None:
        missing = "what the experiment counted before is not in the backup"
        return (
            f"audit.directory: {settings.audit.directory!r}: {begins}, and no snapshot is here: {missing}",
        )
    return ()
