"""Logs that are not what they were: each is named with place and remedy, and the remedy works."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic
from streams.incarnations import commit
from streams.intake import readers
from streams.kafka import admin
from streams.provision import provision
from tests.faults.cluster import Cluster
from tests.faults.fleet import recovered, settle, worked_off
from tests.faults.load import Generator, deployment, in_background, patient_producer
from tests.faults.report import note
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read
from tests.verdict import acquit

RATE = 100
REFUSED = 1
"""Exit status of a worker that names what is wrong."""


class Bench:
    """A worker, a load that can be stopped, and what the worker says at its end."""

    def __init__(self, settings: Settings, directory: Path, seed: int) -> None:
        self.settings = settings
        self.generator = Generator(settings, seed)
        self.worker = Worker(settings, directory / "worker")
        self.producer = patient_producer(settings.kafka)

    async def write(self, count: int) -> None:
        """So many messages."""
        for _ in range(count):
            await self.generator.send(self.producer, self.generator.message())
        await self.producer.flush()

    async def refused(self, seconds: float = 150.0) -> str:
        """What it says when it ends by itself."""
        status = await asyncio.to_thread(self.worker.wait, seconds)
        said = self.worker.log.read_text("utf-8").rstrip().splitlines()[-1]
        assert status == REFUSED, f"{status}: {said}"
        print(said)
        return said

    async def mended(self, name: str) -> None:
        """Start it again after the remedy, and wait until it has answered everything."""
        since = monotonic()
        self.worker.start()
        await recovered(self.generator, name, since)

    def verb(self, *words: str) -> None:
        """A command of ours, on this deployment."""
        command = [sys.executable, "-m", "deploy.cli", *words, "--settings", str(self.worker.file)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ}, timeout=120)

    async def judged(self) -> dict[str, Any]:
        """What is wrong when everything is worked off."""
        return (await settle(self.generator, [self.worker]))[0]


@pytest.fixture
def benches(tmp_path: Path) -> Iterator[Any]:
    """Makes benches; no worker outlives its test."""
    made: list[Bench] = []

    async def make(bootstrap: str, seed: int) -> Bench:
        settings = await deployment(KafkaSettings(bootstrap=bootstrap, session_seconds=4.0), tmp_path)
        made.append(Bench(settings, tmp_path, seed))
        return made[-1]

    yield make
    for bench in made:
        if bench.worker.runs:
            bench.worker.kill()


async def recreate(settings: Settings, topic: Topic) -> None:
    """Delete it, and make it again a moment later."""
    async with admin(settings.kafka) as client:
        await client.delete_topics([settings.kafka.topic(topic)])
    await asyncio.sleep(1.0)
    await provision(settings)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.long_form("long form only: a deployment for each log")
async def test_a_source_recreated_under_load_is_named(kafka, benches):
    """The worker ends within two looks at the log; after the remedy everything written since is taken."""
    bench = await benches(kafka, 31)
    bench.worker.start()
    async with bench.producer, in_background(bench.generator.see_lists()):
        await bench.write(1000)
        await worked_off(bench.generator)
        await asyncio.sleep(2)  # offsets are committed
        await recreate(bench.settings, Topic.CLICKS)
        async with in_background(bench.generator.write(bench.producer, 1, 1.0, rate=RATE)):
            said = await bench.refused()
            clicks = bench.settings.kafka.topic(Topic.CLICKS)
            assert f"{clicks}/" in said
            assert f"streamwise topics --reopen {clicks}" in said
            await asyncio.sleep(4)  # its session: the group must be empty
            await asyncio.to_thread(bench.verb, "topics", "--reopen", clicks)
            await bench.mended("log: a source deleted and recreated")
        await bench.producer.flush()
        await worked_off(bench.generator)
    acquit(await bench.judged())


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.long_form("long form only: a deployment for each log")
async def test_a_lost_state_topic_is_named_and_folded_again(kafka, benches):
    """Committed offsets without state: refused; from the earliest offset the same state comes out."""
    bench = await benches(kafka, 32)
    bench.worker.start()
    async with bench.producer, in_background(bench.generator.see_lists()):
        await bench.write(1000)
        await worked_off(bench.generator)
        assert await asyncio.to_thread(bench.worker.stop) == 0
        await recreate(bench.settings, Topic.STATE)
        bench.worker.start()
        await bench.write(200)
        events = bench.settings.kafka.topic(Topic.EVENTS)
        said = await bench.refused()
        assert f"{events}/" in said
        assert "to the earliest" in said
        await asyncio.sleep(4)
        places = [TopicPartition(events, n) for n in range(bench.settings.kafka.partitions)]
        await commit(bench.settings, dict.fromkeys(places, OffsetAndMetadata(0, "")))
        await bench.mended("log: state lost")
        await worked_off(bench.generator)
    acquit(await bench.judged())


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.long_form("long form only: a deployment for each log")
async def test_forgotten_offsets_are_named(kafka, kafka_home, benches):
    """A group that expired: refused, and read again from the beginning; what comes twice counts once."""
    bench = await benches(kafka, 33)
    bench.worker.start()
    async with bench.producer, in_background(bench.generator.see_lists()):
        await bench.write(500)
        await worked_off(bench.generator)
        assert await asyncio.to_thread(bench.worker.stop) == 0
        await asyncio.sleep(4)
        await asyncio.to_thread(forget, kafka_home, kafka, bench.settings.kafka.group)
        bench.worker.start()
        said = await bench.refused()
        assert "the group has no offset in it" in said
        names = [word for topic in readers(bench.settings) for word in ("--reopen", topic)]
        await asyncio.to_thread(bench.verb, "topics", *names)
        await bench.write(100)
        await bench.mended("log: offsets forgotten")
        await worked_off(bench.generator)
    acquit(await bench.judged())


def forget(home: Path, bootstrap: str, group: str) -> None:
    """Delete a group and what it committed."""
    tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    command = ["java", "-Xmx128m", "-cp", f"{home}/libs/*", tool, "--bootstrap-server", bootstrap]
    subprocess.run([*command, "--delete", "--group", group], check=True, capture_output=True, timeout=120)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("topic", [Topic.EVENTS, Topic.CLICKS])
@pytest.mark.long_form("long form only: a deployment for each log")
async def test_a_lost_tail_is_named(one: Cluster, benches, topic: Topic):
    """A broker without replicas dies and comes back without the end of a log."""
    bench = await benches(one.bootstrap, 34)
    bench.worker.start()
    async with bench.producer, in_background(bench.generator.see_lists()):
        await bench.write(800)
        await worked_off(bench.generator)
        assert await asyncio.to_thread(bench.worker.stop) == 0
    name = bench.settings.kafka.topic(topic)
    await asyncio.to_thread(lose_tail, one, f"{name}-1")
    bench.worker.start()
    said = await bench.refused()
    assert f"{name}/1: read up to" in said
    assert "its tail was lost" in said
    if topic is Topic.EVENTS:
        assert "from a backup" in said
        note_refused(bench.generator, "log: the end of events lost", said)
        return
    await asyncio.sleep(4)
    await asyncio.to_thread(bench.verb, "topics", "--reopen", name)
    producer = patient_producer(bench.settings.kafka)
    async with producer as bench.producer, in_background(bench.generator.see_lists()):
        await bench.write(100)
        await bench.mended("log: the end of a source lost")
        await worked_off(bench.generator)
    acquit(await bench.judged())


def note_refused(generator: Generator, name: str, said: str) -> None:
    """A fault that ends with a sentence: nothing is served until somebody has heeded it."""
    seed, events = generator.sent.seed, generator.count
    note("fault", name=name, seed=seed, events=events, recovery_seconds=None, fell=1, said=[said])


def lose_tail(cluster: Cluster, partition: str) -> None:
    """Half of a log's newest segment is gone when the broker comes back."""
    cluster.kill(1)
    segment = max((cluster.home(1) / "data" / partition).glob("*.log"))
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size // 2)
    cluster.restart(1)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.long_form("long form only: a deployment for each log")
async def test_a_corrupt_snapshot_is_named_and_not_missed(kafka, benches):
    """An older snapshot, or the log, stands in: what is learned is what the log holds."""
    bench = await benches(kafka, 35)
    bench.worker.start()
    async with bench.producer, in_background(bench.generator.see_lists()):
        await bench.write(1000)
        await worked_off(bench.generator)
        folder = bench.worker.file.parent / "snapshots"
        await eventually(lambda: list(folder.glob("*.snapshot")), 30)
        bench.worker.kill()
        newest = max(folder.glob("*.snapshot"))
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 0xFF
        newest.write_bytes(data)
        await bench.write(300)
        await bench.mended("log: a snapshot damaged")
        await worked_off(bench.generator)
    said = bench.worker.log.read_text("utf-8")
    assert f"snapshot not used, more of the log is read instead: {newest}" in said
    acquit(await bench.judged())
    assert len(await read(bench.settings.kafka, Topic.SIGNALS)) > 0
