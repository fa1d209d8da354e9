"""One worker, killed at every step of the order of effects and at random: every event counts once."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from schemas.settings import (
    ExperimentSettings,
    HealthSettings,
    KafkaSettings,
    LearnerSettings,
    ListSettings,
    Settings,
    UserSettings,
)
from schemas.signals import decode_block
from schemas.topics import Topic, topic_name
from streams.app import wall_clock
from streams.crash import Step
from streams.kafka import idempotent_producer
from streams.provision import provision
from tests.faults.oracle import Sent, judge
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read, write

USERS, ITEMS, REQUEST_EVERY = 500, 40, 20
TOTAL = 20_000
SHARE_SECONDS = 4.0
"""Of each of the fifteen faults: 60 s in all."""


def deployment(broker: KafkaSettings, directory: Path) -> Settings:
    name = f"kill{uuid4().hex[:6]}"
    return Settings(
        kafka=msgspec.structs.replace(broker, namespace=name, group=name, partitions=4),
        users=UserSettings(checkpoint_seconds=0.5),
        lists=ListSettings(publish="requests"),
        experiment=ExperimentSettings(holdout=0.0),
        learner=LearnerSettings(directory=str(directory / "snapshots"), snapshot_seconds=2.0),
        health=HealthSettings(heartbeat_seconds=1.0),
    )


class Generator:
    """Writes unique events, in order per person: a share of them for each fault, and a trickle after it."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.random = np.random.default_rng(seed)
        self.names = {t: topic_name(t, settings.kafka.namespace) for t in Topic}
        self.sent = Sent()
        self.count = 0
        self.share_written = asyncio.Event()

    def message(self) -> tuple[Topic, bytes, bytes]:
        """The next message: a click, a purchase, or a request."""
        n, self.count = self.count, self.count + 1
        user = f"u{self.random.integers(USERS)}"
        body = {"event_id": f"e{n}", "user_id": user, "ts": wall_clock()}
        if n % REQUEST_EVERY == 0:
            self.sent.requests.add(body["event_id"])
            return Topic.REQUESTS, user.encode(), msgspec.json.encode(body | {"k": 5})
        self.sent.interactions[body["event_id"]] = user
        topic = Topic.PURCHASES if user[-1] in "02468" else Topic.CLICKS
        item = f"i{self.random.integers(ITEMS)}"
        return topic, user.encode(), msgspec.json.encode(body | {"item_id": item})

    async def write(self, producer: Any, count: int, seconds: float) -> None:
        """An even share, then 20 a second until cancelled; one topic per person gives an order."""
        started = time.monotonic()
        self.share_written.clear()
        for n in itertools.count():
            if n == count:
                self.share_written.set()
            topic, key, value = self.message()
            await producer.send(self.names[topic], value, key=key)
            due = n / count * seconds if n < count else seconds + (n - count) / 20
            if (ahead := due - (time.monotonic() - started)) > 0.01:
                await asyncio.sleep(ahead)


def schedule(rng: np.random.Generator) -> list[str | float]:
    """Every named step once, and five kills after random seconds, shuffled."""
    rare = {Step.DECISIONS_SENT, Step.DECISIONS_LANDED, Step.RECOMMENDATIONS_SENT}
    steps = [f"{step}:{1 if step in rare else rng.integers(1, 4)}" for step in Step]
    kills = [float(rng.uniform(0.2, 3.0)) for _ in range(5)]
    faults: list[str | float] = [*steps, *kills]
    return [faults[i] for i in rng.permutation(len(faults))]


async def suffer(worker: Worker, fault: str | float) -> bool:
    """Start the worker and kill it; whether it died where it should."""
    if isinstance(fault, str):
        worker.start(fault)
        died = await asyncio.to_thread(worker.wait, 60) == -9
        if not died:
            worker.kill()
        return died
    worker.start()
    await asyncio.to_thread(worker.ready)
    await asyncio.sleep(fault)
    worker.kill()
    return True


async def kill_and_restart(worker: Worker, generator: Generator, rng: np.random.Generator) -> list[str]:
    """The whole schedule, the worker behind the producers each time; the steps that were never passed."""
    never, faults = [], schedule(rng)
    share = -(-TOTAL // len(faults))
    async with idempotent_producer(generator.settings.kafka) as producer:
        for fault in faults:
            writing = asyncio.create_task(generator.write(producer, share, SHARE_SECONDS))
            if not await suffer(worker, fault):
                never.append(str(fault))
            await generator.share_written.wait()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        await producer.flush()
    return never


async def finished(settings: Settings, generator: Generator) -> bool:
    """Whether every interaction has a row and every request an answer."""
    offsets: set[tuple[int, int]] = set()
    for record in await read(settings.kafka, Topic.SIGNALS):
        block = decode_block(record.value)
        offsets |= {(block.cover.partition, o) for o in block.interactions.offset.tolist()}
    answered = {
        msgspec.json.decode(r.value)["trigger_id"]
        for r in await read(settings.kafka, Topic.RECOMMENDATIONS)
        if r.value is not None  # a heartbeat
    }
    return len(offsets) >= len(generator.sent.interactions) and answered >= generator.sent.requests


async def run_schedule(broker: KafkaSettings, tmp_path: Path, *, seed: int) -> dict[str, int]:
    settings = deployment(broker, tmp_path)
    await provision(settings)
    items = [
        (f"i{n}".encode(), msgspec.json.encode({"item_id": f"i{n}", "title": f"thing {n}"}))
        for n in range(ITEMS)
    ]
    await write(settings.kafka, Topic.ITEMS, items)
    rng = np.random.default_rng(seed)
    generator, worker = Generator(settings, seed), Worker(settings, tmp_path)
    never = await kill_and_restart(worker, generator, rng)
    worker.start()
    try:
        await eventually(lambda: finished(settings, generator), 120)
    finally:
        status = await asyncio.to_thread(worker.stop)
    found, counts = await judge(settings, generator.sent)
    print(counts | {"kills": worker.ends.count(-9), "drained": status})
    assert never == [], f"steps that were never passed: {never}\n{worker.log.read_text()[-3000:]}"
    assert status == 0, worker.log.read_text()[-3000:]
    assert found.wrong() == {}
    assert counts["decided_twice"] == 0
    return counts


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_killed_at_every_step_on_kafka(kafka, tmp_path):
    """20,000 events, fifteen SIGKILLs, fence on: nothing lost, nothing twice, everything answered."""
    await run_schedule(KafkaSettings(bootstrap=kafka, session_seconds=4.0), tmp_path, seed=5)


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_killed_at_every_step_on_the_embedded_broker(tmp_path):
    """The same without the fence: the checkpoint row alone ends a sweep."""
    install()
    with EmbeddedBroker() as broker:
        kafka = msgspec.convert(broker.settings() | {"fence": "none"}, KafkaSettings)
        await run_schedule(kafka, tmp_path, seed=6)
