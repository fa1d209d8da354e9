"""A disk without room for snapshots: told and counted, lists go on, and snapshots once there is room."""

import asyncio
import resource
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from schemas.settings import ApiSettings, KafkaSettings, Settings
from streams.kafka import idempotent_producer
from tests.conftest import free_port
from tests.faults.fleet import recovered, serves_all, worked_off
from tests.faults.load import Generator, deployment, in_background
from tests.faults.oracle import judge
from tests.faults.watching import get, metrics, says
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

ROOM = 64 << 10
"""Bytes that a file may have while the disk is full: enough for a log with a client's complaints, too few for
a snapshot, which has 114 kB before anything is learned."""
PATIENCE_SECONDS = 120.0


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    learner = msgspec.structs.replace(plain.learner, snapshot_seconds=0.5)
    return msgspec.structs.replace(plain, learner=learner, api=ApiSettings(metrics_port=free_port()))


def fill_the_disk(worker: Worker, room: int) -> None:
    """Let no file of the process grow beyond ``room`` bytes, from now on."""
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))


def snapshots(worker: Worker) -> list[Path]:
    return sorted((worker.log.parent / "snapshots").glob("*signals-*.snapshot"))


def drafts(worker: Worker) -> list[Path]:
    return list(worker.log.parent.rglob("*.draft"))


def newest(worker: Worker) -> str:
    found = snapshots(worker)
    return found[-1].name if found else ""


def failed(settings: Settings) -> int:
    """Snapshots that could not be written; 0 while nobody answers."""
    return int(metrics(settings.api.metrics_port).get("failed_snapshots_total", 0))


async def fill_and_free(worker: Worker, generator: Generator) -> int:
    """Fill the disk, see what is said and that requests are answered, and free it; failures counted."""
    settings = generator.settings
    await eventually(lambda: newest(worker), PATIENCE_SECONDS)
    fill_the_disk(worker, ROOM)
    await eventually(lambda: failed(settings) >= 2, PATIENCE_SECONDS)
    before = newest(worker)
    await eventually(lambda: "learner.directory" in says(settings, "snapshots"), PATIENCE_SECONDS)
    await eventually(lambda: get(settings.api.metrics_port, "/readyz")[0] == 200, PATIENCE_SECONDS)
    await asyncio.sleep(1.0)
    await serves_all(generator)
    await eventually(lambda: not drafts(worker), PATIENCE_SECONDS)  # each lives for an instant
    assert newest(worker) == before
    fill_the_disk(worker, resource.RLIM_INFINITY)
    since = monotonic()
    await eventually(lambda: says(settings, "snapshots") == "ok", PATIENCE_SECONDS)
    await recovered(generator, "disk: full", since)
    assert newest(worker) > before
    return int(await eventually(lambda: failed(settings), PATIENCE_SECONDS))


def tear(worker: Worker) -> Path:
    """What a crash of the machine may leave: half a snapshot that says it is the newest, and half a draft."""
    whole = snapshots(worker)[-1]
    data, (stem, _, last) = whole.read_bytes(), whole.stem.rpartition("-")
    torn = whole.with_name(f"{stem}-{int(last) + 1:020d}.snapshot")
    for path in (torn, torn.with_suffix(".draft")):
        path.write_bytes(data[: len(data) // 2])
    return torn


async def test_a_full_disk_costs_no_list_and_a_torn_snapshot_is_not_loaded(settings, worker, short):
    """Full under load, room again, full and killed with half a snapshot left: the oracle finds nothing."""
    generator = Generator(settings, 22)
    share = (1_500, 10.0) if short else (8_000, 40.0)
    worker.start()
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, *share)),
    ):
        await asyncio.to_thread(worker.ready)
        failures = await fill_and_free(worker, generator)
        fill_the_disk(worker, ROOM)
        await generator.share_written.wait()
        await eventually(lambda: failed(settings) > failures, PATIENCE_SECONDS)
        worker.kill()
        since, torn = monotonic(), tear(worker)
        worker.start()
        await asyncio.to_thread(worker.ready)
        await recovered(generator, "disk: full, SIGKILL, half a snapshot", since)
        await eventually(lambda: newest(worker) > torn.name, PATIENCE_SECONDS)
    await worked_off(generator)
    assert await asyncio.to_thread(worker.stop) == 0, worker.log.read_text()[-3000:]
    said = worker.log.read_text()
    assert said.count("no snapshot is written") == 2, said[-3000:]  # once each time that it was full
    assert f"snapshot not used, more of the log is read instead: {torn}" in said
    found, counts = await judge(settings, generator.sent)
    print(counts | {"snapshots that failed": failures})
    acquit(found.wrong())
