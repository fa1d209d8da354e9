"""Known defects of stock Faust, each shown with a stock app; our path goes through the same fault without."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.crash import Step
from streams.kafka import admin, idempotent_producer, read_range, reader
from tests.faults.fleet import serves_all, settle, worked_off
from tests.faults.load import Generator, deployment, in_background, patient_producer
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read

EVENTS, LATER = [b"e%d" % n for n in range(10)], [b"f%d" % n for n in range(20)]
SESSION_SECONDS = 6.0


class Stock:
    """A stock app on a topic of its own, and what it says that it has handled."""

    def __init__(self, mode: str, bootstrap: str, topic: str, directory: Path) -> None:
        self.file = directory / f"{topic}-{mode}.txt"
        self._command = [sys.executable, "-m", "tests.faults.stock", mode, bootstrap, topic, str(self.file)]
        self._directory = directory
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        with (self._directory / "stock.log").open("ab") as log:
            self.processes.append(subprocess.Popen(self._command, stdout=log, stderr=log))
        return self.processes[-1]

    def handled(self) -> list[bytes]:
        return self.file.read_bytes().split() if self.file.exists() else []

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def stocks(kafka: str, tmp_path: Path) -> Iterator[Any]:
    """Makes stock apps; none outlives its test."""
    made: list[Stock] = []

    async def make(mode: str) -> tuple[Stock, KafkaSettings, str]:
        topic, settings = f"stock{uuid4().hex[:6]}", KafkaSettings(bootstrap=kafka)
        async with admin(settings) as client:
            await client.create_topics([NewTopic(topic, 1, 1)])
        made.append(Stock(mode, kafka, topic, tmp_path))
        return made[-1], settings, topic

    yield make
    for stock in made:
        stock.kill()


async def write(settings: KafkaSettings, topic: str, values: list[bytes]) -> None:
    async with idempotent_producer(settings) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"k", partition=0)


async def ours(kafka: str, directory: Path, crash_at: str, seed: int, *, bad: int = 0) -> dict[str, Any]:
    """Our worker through a fault, then another life of it; what the oracle finds wrong."""
    settings = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=4.0), directory)
    generator, worker = Generator(settings, seed), Worker(settings, directory / "ours")
    heir = Worker(settings, directory / "heir")
    try:
        async with patient_producer(settings.kafka) as producer, in_background(generator.see_lists()):
            for n in range(bad):
                await producer.send_and_wait(settings.kafka.topic(Topic.CLICKS), b"bad %d" % n, key=b"u1")
            async with in_background(generator.write(producer, 300, 3.0, rate=50)):
                worker.start(crash_at)
                if crash_at.endswith("pause"):
                    assert await asyncio.to_thread(worker.paused)
                    heir.start()
                    await serves_all(generator)
                    await asyncio.sleep(SESSION_SECONDS)
                    worker.resume()
                elif crash_at:
                    assert await asyncio.to_thread(worker.wait, 150) == -9
                    worker.start()
                await serves_all(generator)
            await producer.flush()
            await worked_off(generator)
        await asyncio.to_thread(worker.wait, 5)
        letters = [r.value for r in await read(settings.kafka, Topic.DEAD_LETTERS)]
        assert letters == [b"bad %d" % n for n in range(bad)]
        return (await settle(generator, [worker, heir]))[0]
    finally:
        for one in (worker, heir):
            if one.runs:
                one.kill()


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_exception_loses_no_event(kafka, stocks, tmp_path):
    """Stock: what its agent raised on is acknowledged and never handled.  Ours: kept, byte for byte."""
    stock, settings, topic = await stocks("exception")
    await write(settings, topic, [b"bad", *EVENTS])
    stock.start()
    await eventually(lambda: len(stock.handled()) >= len(EVENTS), 120)
    await asyncio.sleep(3)  # it commits
    stock.kill()
    stock.start()
    await write(settings, topic, [b"last"])
    await eventually(lambda: b"last" in stock.handled(), 120)
    assert b"bad" not in stock.handled()
    assert stock.handled().count(b"e0") == 1, "it was not committed: the defect was not met"
    assert await ours(kafka, tmp_path, "", 41, bad=3) == {}


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_event_that_takes_long_is_not_lost(kafka, stocks, tmp_path, short):
    """Stock: later events are acknowledged before it, then comes a kill.  Ours: nothing is."""
    if short:
        pytest.skip("long form only; the acknowledgements themselves: tests/streams/test_transport.py")
    stock, settings, topic = await stocks("order")
    await write(settings, topic, [b"first"])
    stock.start()
    await eventually(lambda: b"first" in stock.handled(), 120)
    await asyncio.sleep(3)
    await write(settings, topic, [b"slow", *EVENTS])
    await eventually(lambda: len(stock.handled()) >= 1 + len(EVENTS), 120)
    await asyncio.sleep(3)  # it commits
    stock.kill()
    stock.start()
    await write(settings, topic, [b"last"])
    await eventually(lambda: b"last" in stock.handled(), 120)
    assert stock.handled().count(b"e0") == 1, "delivered again: the defect was not met"
    assert await ours(kafka, tmp_path, f"{Step.INTAKE_SENT}:2", 42) == {}


async def counts(settings: KafkaSettings, topic: str) -> list[int]:
    """The table's one count, as its changelog has it, oldest first."""
    name = f"stock-{topic}-{topic}-counts-changelog"
    async with reader(settings) as consumer:
        end = (await consumer.end_offsets([TopicPartition(name, 0)]))[TopicPartition(name, 0)]
        return [int(record.value) async for record in read_range(consumer, name, 0, 0, end)]


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_what_is_delivered_again_counts_once(kafka, stocks, tmp_path, short):
    """Stock: a table counts it once more.  Ours: not."""
    if short:
        pytest.skip("long form only; ours: tests/faults/test_kill.py")
    stock, settings, topic = await stocks("table")
    await write(settings, topic, EVENTS)
    stock.start()
    await eventually(lambda: len(stock.handled()) >= len(EVENTS), 120)
    await asyncio.sleep(3)  # the changelog is written
    stock.kill()
    stock.start()
    await eventually(lambda: len(stock.handled()) >= 2 * len(EVENTS), 120)
    await asyncio.sleep(3)
    assert (await counts(settings, topic))[-1] == 2 * len(EVENTS)
    assert await ours(kafka, tmp_path, f"{Step.CHECKPOINT_OPEN}:2", 43) == {}


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_zombie_overwrites_nothing(kafka, stocks, tmp_path, short):
    """Stock: its overdue write ends on top of its successor's.  Ours: the write is refused."""
    if short:
        pytest.skip("long form only; ours: tests/faults/test_fleet.py")
    stock, settings, topic = await stocks("zombie")
    await write(settings, topic, [*EVENTS, b"stop"])
    zombie = stock.start()
    await eventually(lambda: b"stop" in stock.handled(), 120)
    await asyncio.sleep(SESSION_SECONDS + 4)
    heir = Stock("heir", kafka, topic, tmp_path)
    heir.start()
    try:
        await write(settings, topic, LATER)
        await eventually(lambda: LATER[-1] in heir.handled(), 120)
        await asyncio.sleep(3)  # the changelog is written
        assert not await went_back(settings, topic)
        zombie.send_signal(signal.SIGCONT)
        await eventually(lambda: went_back(settings, topic), 60)
    finally:
        heir.kill()
    assert await ours(kafka, tmp_path, f"{Step.CHECKPOINT_OPEN}:2:pause", 44) == {}


async def went_back(settings: KafkaSettings, topic: str) -> bool:
    """Whether a count was written on top of a higher one."""
    found = await counts(settings, topic)
    return any(later < former for former, later in pairwise(found))
