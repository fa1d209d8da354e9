"""One worker, killed at every step of the order of effects and at random: every event counts once."""

import asyncio

import msgspec
import numpy as np
import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from schemas.settings import KafkaSettings
from streams.crash import Step
from streams.kafka import idempotent_producer
from tests.faults.load import Generator, deployment, finished, in_background
from tests.faults.oracle import judge
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually

TOTAL = 20_000
SHARE_SECONDS = 4.0
"""Of each of the fifteen faults: 60 s in all."""


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
            async with in_background(generator.write(producer, share, SHARE_SECONDS)):
                if not await suffer(worker, fault):
                    never.append(str(fault))
                await generator.share_written.wait()
        await producer.flush()
    return never


async def run_schedule(broker: KafkaSettings, tmp_path, *, seed: int) -> None:
    settings = await deployment(broker, tmp_path)
    rng = np.random.default_rng(seed)
    generator, worker = Generator(settings, seed), Worker(settings, tmp_path)
    async with in_background(generator.see_lists()):
        never = await kill_and_restart(worker, generator, rng)
    worker.start()
    try:
        await eventually(lambda: finished(generator), 120)
    finally:
        status = await asyncio.to_thread(worker.stop)
    found, counts = await judge(settings, generator.sent)
    print(counts | {"kills": worker.ends.count(-9), "drained": status})
    assert never == [], f"steps that were never passed: {never}\n{worker.log.read_text()[-3000:]}"
    assert status == 0, worker.log.read_text()[-3000:]
    assert found.wrong() == {}
    assert counts["decided_twice"] == 0
    assert min(counts["rewards_named"], counts["rewards_inferred"], counts["propensities"]) > 0


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
