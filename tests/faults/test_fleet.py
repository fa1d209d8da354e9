"""Several workers: one that stands still past its session, more and fewer of them, and a rebalance storm."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from schemas.settings import KafkaSettings, Settings
from streams.crash import Step
from streams.kafka import idempotent_producer
from tests.faults.load import Generator, checkpointed, deployment, finished, in_background
from tests.faults.oracle import Findings, judge
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually

SESSION_SECONDS = 4.0
PAST_SESSION = 2.0
"""Seconds beyond the session for which a zombie stands still, counted from the stop."""
STORM_SECONDS, STORM_EVERY = 40.0, 4.0


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    return await deployment(KafkaSettings(bootstrap=kafka, session_seconds=SESSION_SECONDS), tmp_path)


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    """Workers that can be started; none outlives its test."""
    workers = [Worker(settings, tmp_path / f"worker{n}") for n in range(12)]
    yield workers
    for worker in workers:
        if worker.runs:
            worker.kill()


async def settle(generator: Generator, workers: list[Worker]) -> tuple[Findings, dict[str, int]]:
    """Wait until everything is worked off, drain who still runs, and judge."""
    try:
        await eventually(lambda: finished(generator), 120)
        await eventually(lambda: checkpointed(generator), 60)  # told to end in a rebalance, nobody writes it
    finally:
        running = [w for w in workers if w.runs]
        ends = await asyncio.gather(*(asyncio.to_thread(w.stop) for w in running))
    assert ends == [0] * len(running), "\n".join(w.log.read_text()[-2000:] for w in running)
    found, counts = await judge(generator.settings, generator.sent)
    print(counts)
    assert found.wrong() == {}
    return found, counts


async def serves_all(generator: Generator, seconds: float = 60.0) -> None:
    """Return when every request sent until now has an answer: all partitions have an owner again."""
    await eventually(lambda: generator.sent.requests)
    asked, deadline = set(generator.sent.requests), monotonic() + seconds
    while left := asked - generator.answered:
        assert monotonic() < deadline, f"{len(left)} of {len(asked)} unanswered: {sorted(left)[:5]}"
        await asyncio.sleep(0.05)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", [Step.CHECKPOINT_OPEN, Step.DECISIONS_SENT])
async def test_a_zombie_changes_no_statistic(settings, fleet, step):
    """A worker stops in the middle of a step, another takes over and answers, the first goes on.

    At ``checkpoint-open`` its overdue checkpoint is refused; at ``decisions-sent`` its overdue decisions
    land behind those of its successor, for the same triggers, and are not opened.
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
    _, counts = await settle(generator, [zombie, heir])
    assert counts["decided_twice"] > 0 or step is not Step.DECISIONS_SENT


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_one_three_one_workers_under_load(settings, fleet, short):
    """Two workers join under load, and two leave (SIGTERM), the first one among them."""
    if short:
        pytest.skip("long form only: takes more than 40 s")
    generator, workers = Generator(settings, 8), fleet[:3]
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 10_000, 40.0)),
    ):
        workers[0].start()
        await serves_all(generator)
        for worker in workers[1:]:
            worker.start()
        await asyncio.gather(*(asyncio.to_thread(w.ready) for w in workers[1:]))
        await asyncio.sleep(8)
        await serves_all(generator)
        for worker in workers[:2]:
            assert await asyncio.to_thread(worker.stop) == 0, worker.log.read_text()[-3000:]
        await generator.share_written.wait()
        await serves_all(generator)
    _, counts = await settle(generator, workers)
    assert counts["decided_twice"] == 0


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_rebalance_storm(settings, fleet, short):
    """Every few seconds a worker joins and the oldest one but the first leaves, for 40 s."""
    if short:
        pytest.skip("long form only: takes more than 40 s")
    generator, (first, *waiting), guests = Generator(settings, 9), fleet, []
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 6_000, STORM_SECONDS + 10)),
    ):
        first.start()
        await serves_all(generator)
        end = monotonic() + STORM_SECONDS
        while monotonic() < end:
            guests.append(waiting.pop(0))
            guests[-1].start()
            await asyncio.sleep(STORM_EVERY)
            if len(guests) > 2:
                gone = guests.pop(0)
                assert await asyncio.to_thread(gone.stop) == 0, gone.log.read_text()[-3000:]
        await generator.share_written.wait()
        calm = monotonic()
        await serves_all(generator)
        print(f"everything served {monotonic() - calm:.1f} s after the storm")
    await settle(generator, fleet)
