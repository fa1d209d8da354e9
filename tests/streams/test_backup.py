"""A deployment that is backed up while it works and restored elsewhere has been cut at one point."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from models.engine import Engine
from schemas.errors import ArchiveError, IncarnationError
from schemas.events import Click, Decision, Purchase, Request, decode_event
from schemas.settings import AuditSettings, KafkaSettings, LearnerSettings, Settings
from schemas.signals import decode_block
from schemas.topics import Topic
from streams import restoring
from streams.app import wall_clock
from streams.archive import MANIFEST, read_manifest
from streams.backup import backup
from streams.kafka import idempotent_producer
from streams.learner import KEEP, Snapshots
from streams.restoring import restore_backup
from tests.faults.load import Generator, deployment, finished, in_background
from tests.streams.clients.room import eventually, read, write
from tests.streams.test_repartition import compare_with_plain, learned, shopping, shown_for
from tests.streams.test_worker import ask, worker

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
async def settings(kafka, tmp_path):
    made = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    return msgspec.structs.replace(made, audit=AuditSettings(directory=str(tmp_path / "audit")))


def elsewhere(settings: Settings, tmp_path, partitions: int) -> Settings:
    """Another namespace, group and directories."""
    name = f"{settings.kafka.namespace}r"
    kafka = msgspec.structs.replace(settings.kafka, namespace=name, group=name, partitions=partitions)
    learner = LearnerSettings(directory=str(tmp_path / "models"), snapshot_seconds=1.0)
    audit = AuditSettings(directory=str(tmp_path / "books"))
    return msgspec.structs.replace(settings, kafka=kafka, learner=learner, audit=audit)


def in_an_empty_cluster(settings: Settings, tmp_path, bootstrap: str, partitions: int) -> Settings:
    """The same deployment by name, on brokers and disks that have nothing of it."""
    later = elsewhere(settings, tmp_path, partitions)
    own = settings.kafka
    kafka = msgspec.structs.replace(
        later.kafka, bootstrap=bootstrap, namespace=own.namespace, group=own.group
    )
    return msgspec.structs.replace(later, kafka=kafka)


async def save(settings: Settings, directory, **more):
    return await backup(settings, directory, shown_settings={}, version="test", now=wall_clock(), **more)


async def facts_in(settings: Settings) -> tuple[set[str], set[str]]:
    """Ids of the interactions and of the requests in ``events``."""
    events = [decode_event(r.value) for r in await read(settings.kafka, Topic.EVENTS)]
    things = {e.event_id for e in events if isinstance(e, Click | Purchase)}
    return things, {e.request_id for e in events if isinstance(e, Request)}


async def triggers_decided(settings: Settings) -> list[str]:
    events = [decode_event(r.value) for r in await read(settings.kafka, Topic.EVENTS)]
    return [e.recommendation.trigger_id for e in events if isinstance(e, Decision)]


async def worth_copying(settings: Settings) -> bool:
    """Whether half of a share is in ``events``, and the state has had time to overtake a snapshot."""
    snapshots = Snapshots(Path(settings.learner.directory), settings.kafka.namespace).paths()
    return len(snapshots) >= KEEP and len(await read(settings.kafka, Topic.EVENTS)) > 300


@pytest.fixture(params=["beside it", "in an empty cluster"])
def later(request, settings, tmp_path) -> Settings:
    """Where it is restored."""
    if request.param == "beside it":
        return elsewhere(settings, tmp_path, 6)
    return in_an_empty_cluster(settings, tmp_path, request.getfixturevalue("empty_kafka"), 6)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_deployment_at_work_is_restored_elsewhere_and_goes_on(settings, later, tmp_path):
    """Taken amid traffic: state is a plain fold, models count each event once, all is answered once."""
    generator = Generator(settings, 21)
    async with worker(settings), idempotent_producer(settings.kafka) as producer:
        async with in_background(generator.see_lists(), generator.write(producer, 600, 4.0)):
            await generator.share_written.wait()
            await eventually(lambda: worth_copying(settings))
            copied = await save(settings, tmp_path / "copy")
        await eventually(lambda: finished(generator), 120)
    assert copied.records["events"] > 300
    manifest = read_manifest(tmp_path / "copy")
    assert {"learner"} <= {f.topic for f in manifest.files}

    planned = await restore_backup(later, tmp_path / "copy", now=wall_clock(), dry_run=True)
    assert planned.people is None
    brought = await restore_backup(later, tmp_path / "copy", now=wall_clock())
    assert brought.people == await compare_with_plain(later)

    things, requests = await facts_in(later)
    async with worker(later) as app:
        await eventually(lambda: all_answered(later, requests))

        async def all_learned() -> bool:
            return app.runtime.engine.log.rows_learned == len(things)

        async def same() -> bool:
            return app.runtime.engine.log.checksums() == await folded(later)

        await eventually(all_learned)
        await eventually(same)  # its newest decisions come back and are learned a moment later
    assert learned(later, await read(later.kafka, Topic.SIGNALS)) == len(things)
    assert sorted(await triggers_decided(later)) == sorted(requests)
    await compare_with_plain(later)

    further = Generator(later, 22)
    further.count = 10**6
    await shopping(later, further, 200)
    assert learned(later, await read(later.kafka, Topic.SIGNALS)) == len(things) + len(
        further.sent.interactions
    )


async def all_answered(settings: Settings, requests: set[str]) -> bool:
    return set(await shown_for(settings)) >= requests


async def folded(settings: Settings) -> dict[str, int]:
    """Checksums of all folds of whoever reads the log from its beginning."""
    engine = Engine.of(settings)
    for record in await read(settings.kafka, Topic.SIGNALS):
        engine.learn(decode_block(record.value))
    return engine.log.checksums()


async def test_what_is_wrong_is_said_before_anything_is_written(settings, tmp_path):
    """Damaged, unfinished or foreign directories, a used directory, a used namespace, other snapshots."""
    async with worker(settings):
        await write(settings.kafka, Topic.REQUESTS, [ask("u1", 1)])
        await eventually(lambda: all_answered(settings, {"q1"}))
    copy = tmp_path / "copy"
    await save(settings, copy)
    later = elsewhere(settings, tmp_path, 4)
    with pytest.raises(ArchiveError, match="not empty"):
        await save(settings, copy)
    with pytest.raises(ArchiveError, match=r"holds \d+ records"):
        await restore_backup(settings, copy, now=0)
    with pytest.raises(ArchiveError, match="no such directory"):
        await restore_backup(later, tmp_path / "nowhere", now=0)
    (tmp_path / "models").mkdir()
    stale = tmp_path / "models" / f"{later.kafka.namespace}.signals-1.snapshot"
    stale.write_bytes(b"x")
    with pytest.raises(ArchiveError, match=r"learner\.directory"):
        await restore_backup(later, copy, now=0)
    stale.unlink()

    file = copy / "events" / "0.records"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if whole else b"x")
    with pytest.raises(ArchiveError, match=r"events/0\.records: wrong checksum"):
        await restore_backup(later, copy, now=0)
    file.write_bytes(whole)
    (copy / MANIFEST).rename(copy / "kept")
    with pytest.raises(ArchiveError, match="did not finish"):
        await restore_backup(later, copy, now=0)
    (copy / MANIFEST).write_text('{"format": 99}')
    with pytest.raises(ArchiveError, match="format 99"):
        await restore_backup(later, copy, now=0)


async def test_a_restore_that_was_cut_off_is_no_deployment(settings, tmp_path, monkeypatch):
    """No worker starts on half of a backup."""
    async with worker(settings):
        await write(settings.kafka, Topic.REQUESTS, [ask("u1", 1)])
        await eventually(lambda: all_answered(settings, {"q1"}))
    await save(settings, tmp_path / "copy")

    async def cut_off(*_args):
        raise asyncio.CancelledError

    later = elsewhere(settings, tmp_path, 4)
    monkeypatch.setattr(restoring, "finish", cut_off)
    with pytest.raises(asyncio.CancelledError):
        await restore_backup(later, tmp_path / "copy", now=wall_clock())
    with pytest.raises(IncarnationError, match="delete the topics"):
        async with worker(later):
            pass
    with pytest.raises(IncarnationError, match="delete the topics"):
        await save(later, tmp_path / "another")
