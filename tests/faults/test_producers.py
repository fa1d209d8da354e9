"""Input that comes twice: retries without idempotence, repeats behind later records, a file read twice."""

import asyncio
import csv
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic
from streams.app import wall_clock
from tests.faults.cluster import Cluster
from tests.faults.fleet import recovered, serves_all, settle, worked_off
from tests.faults.keeper import Keeper
from tests.faults.load import Generator, deployment, in_background, patient_producer
from tests.faults.worker import Worker
from tests.streams.clients.room import read
from tests.verdict import acquit

SOURCES = (Topic.CLICKS, Topic.PURCHASES, Topic.REQUESTS)
SECONDS, RATE = 20.0, 150
ROWS, READERS = 600, 40
NAME = "producer: connections reset, repeats, a file replayed, SIGKILL of the worker"
LATE_SECONDS = 0.05
"""By which answers come late: some is on its way when a connection breaks."""


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.long_form("long form only: takes a minute")
async def test_input_that_comes_twice_counts_once(one: Cluster, tmp_path: Path):
    """A producer whose connections are reset sends again what had arrived; a file is replayed three times.

    The worker is killed in between.  More records came than were meant, and no effect is doubled.
    """
    settings = await deployment(KafkaSettings(bootstrap=one.bootstrap, session_seconds=4.0), tmp_path)
    generator, worker = Generator(settings, 12, again=0.2), Worker(settings, tmp_path / "worker")
    through = msgspec.structs.replace(settings.kafka, bootstrap=one.proxied)
    producer, keeper = patient_producer(through, idempotent=False), Keeper([worker])
    file = write_file(tmp_path / "log.csv", generator)
    try:
        async with producer, in_background(keeper.run(), generator.see_lists()):
            async with in_background(generator.write(producer, round(RATE * SECONDS), SECONDS)):
                one.proxies[1].delay = LATE_SECONDS
                for n in range(round(SECONDS)):
                    one.proxies[1].reset()
                    await asyncio.sleep(1)
                    if n % 7 == 0:
                        await asyncio.to_thread(replay, settings, file)
                        worker.kill()
                one.proxies[1].heal()
                await recovered(generator, NAME, monotonic(), falls=keeper.falls)
                await generator.share_written.wait()
                await serves_all(generator)
            await producer.flush()
            await generator.replay(producer)
            await worked_off(generator)
        wrong, _ = await settle(generator, [worker])
    finally:
        if worker.runs:
            worker.kill()
    ids = [
        msgspec.json.decode(r.value)["event_id"]
        for t in SOURCES
        for r in await read(settings.kafka, t)
        if r.value
    ]
    meant = generator.sent.acknowledged + 3 * ROWS + len(generator.newest)
    print(f"{len(set(ids))} messages, {len(ids)} records, of which nobody meant {len(ids) - meant}")
    assert len(ids) > meant, "the producer never sent what had arrived: the fault did not happen"
    acquit(wrong)


def write_file(path: Path, generator: Generator) -> Path:
    """A log of people who do nothing else; what the oracle is told of it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["user", "item", "t"])
        for n in range(ROWS):
            rows.writerow([f"reader{n % READERS}", f"i{n % 30}", wall_clock()])
            generator.sent.interactions[f"{path.name}:{n + 2}"] = f"reader{n % READERS}"
    return path


def replay(settings: Settings, file: Path) -> None:
    """``streamwise replay``."""
    command = [sys.executable, "-m", "deploy.cli", "replay", str(file)]
    variables = {
        "STREAMWISE_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "STREAMWISE_KAFKA__NAMESPACE": settings.kafka.namespace,
    }
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **variables}, timeout=120)
