"""One worker, killed at every step of the order of effects and at random: every event counts once."""

import asyncio
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from schemas.settings import ApiSettings, KafkaSettings
from streams.crash import Step
from tests.conftest import free_port
from tests.faults.fleet import settle
from tests.faults.load import Generator, deployment, in_background, patient_producer
from tests.faults.watching import metrics
from tests.faults.worker import Worker
from tests.verdict import acquit

RATE, SHARE_SECONDS = 330, 4.0
"""Events a second, and for how long before each of the faults."""
PATIENCE_SECONDS = 150.0
"""For a step to be passed: a starved machine takes a minute to start a worker."""
SWEEP_STEPS = (Step.CHECKPOINT_OPEN,)
"""Where the way without a fence differs: the short form of the second test."""


def schedule(rng: np.random.Generator, steps: Sequence[Step], kills: int) -> list[str | float]:
    """Every step once, and kills after random seconds, shuffled."""
    rare = {Step.DECISIONS_SENT, Step.DECISIONS_LANDED, Step.RECOMMENDATIONS_SENT}
    named = [f"{step}:{1 if step in rare else rng.integers(1, 4)}" for step in steps]
    faults: list[str | float] = [*named, *(float(rng.uniform(0.2, 3.0)) for _ in range(kills))]
    return [faults[i] for i in rng.permutation(len(faults))]


async def suffer(worker: Worker, fault: str | float) -> bool:
    """Start the worker and kill it; whether it died where it should."""
    if isinstance(fault, str):
        worker.start(fault)
        died = await asyncio.to_thread(worker.wait, PATIENCE_SECONDS) == -9
        if not died:
            worker.kill()
        return died
    worker.start()
    await asyncio.to_thread(worker.ready)
    await asyncio.sleep(fault)
    worker.kill()
    return True


async def kill_and_restart(
    worker: Worker, generator: Generator, faults: list[str | float], seconds: float
) -> list[str]:
    """The whole schedule, the worker behind the producers each time; the steps that were never passed."""
    never = []
    async with patient_producer(generator.settings.kafka) as producer:
        for fault in faults:
            async with in_background(generator.write(producer, round(RATE * seconds), seconds)):
                if not await suffer(worker, fault):
                    never.append(str(fault))
                await generator.share_written.wait()
        await producer.flush()
    return never


async def note_takeovers(port: int, taken: list[float]) -> None:
    """Note again and again, for ever, how many partitions the present life has taken over so far."""
    while True:
        seen = await asyncio.to_thread(metrics, port)
        taken.append(seen.get("takeover_seconds_count", 0.0))
        await asyncio.sleep(0.5)


async def run_schedule(
    broker: KafkaSettings, tmp_path, faults: list[str | float], *, seed: int, short: bool
) -> None:
    plain, taken = await deployment(broker, tmp_path), [0.0]
    settings = msgspec.structs.replace(plain, api=ApiSettings(metrics_port=free_port()))
    generator, worker = Generator(settings, seed), Worker(settings, tmp_path)
    try:
        async with in_background(note_takeovers(settings.api.metrics_port, taken)):
            async with in_background(generator.see_lists()):
                never = await kill_and_restart(worker, generator, faults, 1.0 if short else SHARE_SECONDS)
            worker.start()
            wrong, counts = await settle(generator, [worker])
    finally:
        if worker.runs:
            worker.kill()
    assert never == [], f"steps that were never passed: {never}\n{worker.log.read_text()[-3000:]}"
    assert worker.ends.count(-9) >= len(faults)
    acquit(wrong)
    print({"partitions that one life has taken over": max(taken)})
    # a stall past the session: it loses its partitions, and takes them again while a decision is on its way
    assert counts["decided_twice"] == 0 or max(taken) > settings.kafka.partitions
    assert counts["propensities"] > 0
    assert len(faults) < len(Step) or min(counts["rewards_named"], counts["rewards_inferred"]) > 0


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_killed_at_every_step_on_kafka(kafka, tmp_path, short):
    """SIGKILL at every step and at random, fence on: nothing lost, nothing twice, everything answered."""
    faults = schedule(np.random.default_rng(5), list(Step), 0 if short else 5)
    await run_schedule(
        KafkaSettings(bootstrap=kafka, session_seconds=4.0), tmp_path, faults, seed=5, short=short
    )


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_killed_at_every_step_on_the_embedded_broker(tmp_path, short):
    """The same without the fence: the checkpoint row alone ends a sweep."""
    install()
    steps = SWEEP_STEPS if short else list(Step)
    faults = schedule(np.random.default_rng(6), steps, 0 if short else 5)
    with EmbeddedBroker() as broker:
        kafka = msgspec.convert(broker.settings() | {"fence": "none"}, KafkaSettings)
        await run_schedule(kafka, tmp_path, faults, seed=6, short=short)
