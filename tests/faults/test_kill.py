"""One worker, killed at every step of the order of effects and at random: every event counts once."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import numpy as np
import pytest

from schemas.settings import (
    ExperimentSettings,
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


def deployment(broker: KafkaSettings, directory: Path) -> Settings:
    name = f"kill{uuid4().hex[:6]}"
    return Settings(
        kafka=msgspec.structs.replace(broker, namespace=name, group=name, partitions=4),
        users=UserSettings(checkpoint_seconds=0.5),
        lists=ListSettings(publish="requests"),
        experiment=ExperimentSettings(holdout=0.0),
        learner=LearnerSettings(directory=str(directory / "snapshots"), snapshot_seconds=2.0),
    )


class Generator:
    """Writes unique events at an even pace, in order per person."""

    def __init__(self, settings: Settings, total: int, seconds: float, seed: int) -> None:
        self.settings = settings
        self.total = total
        self.seconds = seconds
        self.random = np.random.default_rng(seed)
        self.sent = Sent()

    def message(self, n: int) -> tuple[Topic, bytes, bytes]:
        """The n-th message: a click, a purchase, or a request."""
        user = f"u{self.random.integers(USERS)}"
        body = {"event_id": f"e{n}", "user_id": user, "ts": wall_clock()}
        if n % REQUEST_EVERY == 0:
            self.sent.requests.add(body["event_id"])
            return Topic.REQUESTS, user.encode(), msgspec.json.encode(body | {"k": 5})
        self.sent.interactions[body["event_id"]] = user
        topic = Topic.PURCHASES if user[-1] in "02468" else Topic.CLICKS
        item = f"i{self.random.integers(ITEMS)}"
        return topic, user.encode(), msgspec.json.encode(body | {"item_id": item})

    async def run(self) -> None:
        """Write all of them; a person's interactions go through one topic, so they have an order."""
        names = {t: topic_name(t, self.settings.kafka.namespace) for t in Topic}
        started = time.monotonic()
        async with idempotent_producer(self.settings.kafka) as producer:
            for n in range(self.total):
                topic, key, value = self.message(n)
                await producer.send(names[topic], value, key=key)
                if (ahead := n / self.total * self.seconds - (time.monotonic() - started)) > 0.01:
                    await asyncio.sleep(ahead)


def schedule(rng: np.random.Generator) -> Iterator[str | float]:
    """Every named step once, and five kills after random seconds, shuffled."""
    steps: list[str | float] = [f"{step}:{rng.integers(1, 4)}" for step in Step]
    kills: list[str | float] = [float(rng.uniform(0.2, 3.0)) for _ in range(5)]
    order = rng.permutation(len(steps) + len(kills))
    yield from ([*steps, *kills][i] for i in order)


async def kill_and_restart(worker: Worker, rng: np.random.Generator) -> list[str]:
    """Run the schedule; returns the steps that were never passed."""
    never = []
    for fault in schedule(rng):
        if isinstance(fault, str):
            worker.start(fault)
            if await asyncio.to_thread(worker.wait, 45) != -9:
                never.append(fault)
                worker.kill()
        else:
            worker.start()
            await asyncio.to_thread(worker.ready)
            await asyncio.sleep(fault)
            worker.kill()
    return never


async def finished(settings: Settings, generator: Generator) -> bool:
    """Whether every interaction has a row and every request an answer."""
    offsets: set[tuple[int, int]] = set()
    for record in await read(settings.kafka, Topic.SIGNALS):
        block = decode_block(record.value)
        offsets |= {(block.cover.partition, o) for o in block.interactions.offset.tolist()}
    answered = {
        msgspec.json.decode(r.value)["trigger_id"] for r in await read(settings.kafka, Topic.RECOMMENDATIONS)
    }
    return len(offsets) >= len(generator.sent.interactions) and answered >= generator.sent.requests


async def run_schedule(
    broker: KafkaSettings, tmp_path: Path, *, total: int, seconds: float, seed: int
) -> dict:
    settings = deployment(broker, tmp_path)
    await provision(settings)
    items = [
        (f"i{n}".encode(), msgspec.json.encode({"item_id": f"i{n}", "title": f"thing {n}"}))
        for n in range(ITEMS)
    ]
    await write(settings.kafka, Topic.ITEMS, items)
    rng = np.random.default_rng(seed)
    generator, worker = Generator(settings, total, seconds, seed), Worker(settings, tmp_path)
    writing = asyncio.create_task(generator.run())
    never = await kill_and_restart(worker, rng)
    await writing
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
    return counts


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_killed_at_every_step_on_kafka(kafka, tmp_path):
    """20,000 events over 60 s, fifteen SIGKILLs, fence on: nothing lost, nothing twice, all answered."""
    await run_schedule(
        KafkaSettings(bootstrap=kafka, session_seconds=2.0), tmp_path, total=20_000, seconds=60.0, seed=5
    )
