"""One of three workers is killed, told to end, or stands still past its session, at every step there is."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from schemas.settings import KafkaSettings, Settings
from streams.crash import Step
from tests.faults.fleet import outlived_by_none, recovered, serves_all, settle
from tests.faults.load import Generator, deployment, in_background, patient_producer
from tests.faults.worker import Worker
from tests.verdict import acquit

RATE, SEED = 200, 61
SESSION_SECONDS, PAST_SESSION = 4.0, 2.0
PATIENCE_SECONDS = 150.0
"""For a step to be passed: a starved machine takes a minute to start a worker."""

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    """Two partitions for each: of four a third worker would get none."""
    broker = KafkaSettings(bootstrap=kafka, session_seconds=SESSION_SECONDS, partitions=6)
    return await deployment(broker, tmp_path)


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    """Three workers; none outlives its test."""
    yield from outlived_by_none(settings, tmp_path, 3)


async def is_killed(worker: Worker) -> None:
    """SIGKILL in the middle of the step."""
    assert await asyncio.to_thread(worker.wait, PATIENCE_SECONDS) == -9, worker.said()


async def drains(worker: Worker) -> None:
    """SIGTERM in the middle of the step."""
    assert await asyncio.to_thread(worker.wait, PATIENCE_SECONDS) == 0, worker.said()


async def stands_still(worker: Worker) -> None:
    """SIGSTOP in the middle of the step until its session is over; then it goes on, and is told to end."""
    assert await asyncio.to_thread(worker.paused, PATIENCE_SECONDS), worker.said()
    await asyncio.sleep(SESSION_SECONDS + PAST_SESSION)
    worker.resume()
    await asyncio.sleep(PAST_SESSION)
    if worker.runs:
        await asyncio.to_thread(worker.stop)


HOW: dict[str, tuple[str, Callable[[Worker], Awaitable[None]]]] = {
    "SIGKILL": ("", is_killed),
    "SIGTERM": (":term", drains),
    "SIGSTOP past the session": (":pause", stands_still),
}


async def fall_at(step: Step, which: str, worker: Worker, generator: Generator) -> None:
    """Start the worker, let it fall at the step, and wait until the others serve everybody."""
    spec, fate = HOW[which]
    worker.start(f"{step}:2{spec}")
    await fate(worker)
    await recovered(generator, f"one of three: {which} at {step}", monotonic())


@pytest.mark.long_form("long form only: ten steps, each in a worker of its own start")
@pytest.mark.parametrize("which", list(HOW))
async def test_one_of_three_falls_at_every_step(settings, fleet, which):
    """The other two go on: every event counts once, and only a zombie decides on what was decided."""
    generator, (*others, victim) = Generator(settings, SEED), fleet
    for worker in others:
        worker.start()
    async with (
        patient_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 10 * RATE, 10.0, rate=RATE)),
    ):
        await serves_all(generator)
        for step in Step:
            await fall_at(step, which, victim, generator)
    wrong, counts = await settle(generator, fleet)
    acquit(wrong)
    assert counts["decided_twice"] == 0 or which == "SIGSTOP past the session"
