"""Several workers: one that stands still past its session, more and fewer of them, and a rebalance storm."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from schemas.settings import KafkaSettings, Settings
from streams.crash import Step
from streams.kafka import idempotent_producer
from tests.faults.fleet import outlived_by_none, serves_all, settle
from tests.faults.load import Generator, deployment, in_background, never_hung
from tests.faults.worker import Worker
from tests.verdict import acquit

SESSION_SECONDS = 4.0
PAST_SESSION = 2.0
"""Seconds beyond the session for which a zombie stands still, counted from the stop."""
STORM_SECONDS, STORM_EVERY = 60.0, 3.0


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    broker = KafkaSettings(bootstrap=kafka, session_seconds=SESSION_SECONDS)
    return never_hung(await deployment(broker, tmp_path))


OTHER = pytest.mark.long_form("long form only: the other step is in the short form")


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    """Workers that can be started; none outlives its test."""
    yield from outlived_by_none(settings, tmp_path, 12)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("step", [Step.CHECKPOINT_OPEN, pytest.param(Step.DECISIONS_SENT, marks=OTHER)])
async def test_a_zombie_changes_no_statistic(settings, fleet, step):
    """A worker stops in the middle of a step, another takes over and answers, the first goes on.

    At ``checkpoint-open`` its overdue checkpoint is refused, or given up where the group tells it first;
    at ``decisions-sent`` its overdue decisions land behind those of its successor, for the same triggers,
    and are not opened.
    """
    generator, (zombie, heir, *_) = Generator(settings, 7), fleet
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 2000, 10.0)),
    ):
        zombie.start(f"{step}:3:pause")
        assert await asyncio.to_thread(zombie.paused), zombie.log.read_text()[-3000:]
        stopped = monotonic()
        heir.start()
        await asyncio.to_thread(heir.ready)
        await serves_all(generator)
        print(f"served again {monotonic() - stopped:.1f} s after the stop (a session is {SESSION_SECONDS} s)")
        await asyncio.sleep(max(0.0, stopped + SESSION_SECONDS + PAST_SESSION - monotonic()))
        zombie.resume()
        await generator.share_written.wait()
        await serves_all(generator)
    status = await asyncio.to_thread(zombie.wait, 5)
    refused = "another worker owns the partition" in zombie.log.read_text()
    print(f"the zombie ended with {status}; it says that its checkpoint was refused: {refused}")
    wrong, counts = await settle(generator, [zombie, heir])
    acquit(wrong)
    assert counts["decided_twice"] > 0 or step is not Step.DECISIONS_SENT


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.long_form("long form only: takes more than 40 s")
async def test_one_two_three_two_one_workers_under_load(settings, fleet):
    """Two workers join under load, one after the other, and two leave (SIGTERM), the first one among them."""
    generator, workers = Generator(settings, 8), fleet[:3]
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 10_000, 50.0)),
    ):
        workers[0].start()
        await serves_all(generator)
        for worker in workers[1:]:
            worker.start()
            await asyncio.to_thread(worker.ready)
            await asyncio.sleep(5)
            await serves_all(generator)
        for worker in workers[:2]:
            assert await asyncio.to_thread(worker.stop) == 0, worker.log.read_text()[-3000:]
            await serves_all(generator)
        await generator.share_written.wait()
        await serves_all(generator)
    wrong, counts = await settle(generator, workers)
    acquit(wrong)
    assert counts["decided_twice"] == 0


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.long_form("long form only: takes more than a minute")
async def test_a_rebalance_storm(settings, fleet):
    """For a minute somebody joins every three seconds, and the oldest one but the first leaves."""
    generator, (first, *others), guests = Generator(settings, 9), fleet, []
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 8_000, STORM_SECONDS + 10)),
    ):
        first.start()
        await serves_all(generator)
        end = monotonic() + STORM_SECONDS
        while monotonic() < end:
            guests.append(others.pop(0))
            guests[-1].start()
            await asyncio.sleep(STORM_EVERY)
            if len(guests) > 2:
                gone = guests.pop(0)
                others.append(gone)
                status = await asyncio.to_thread(gone.stop)
                assert status == 0 or (status == -15 and not gone.was_ready), gone.said()
        await generator.share_written.wait()
        calm = monotonic()
        await serves_all(generator)
        print(f"everything served {monotonic() - calm:.1f} s after the storm")
    wrong, _ = await settle(generator, fleet)
    acquit(wrong)
