"""Workers with lasting names that are restarted one after the other: nobody else's partitions move."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import msgspec
import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from schemas.settings import ApiSettings, KafkaSettings, Settings
from streams.kafka import admin, idempotent_producer
from tests.conftest import free_port
from tests.faults.fleet import recovered, serves_all, settle
from tests.faults.load import Generator, deployment, in_background
from tests.faults.watching import metrics
from tests.faults.worker import Worker
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1200)]

SESSION_SECONDS = 90.0
"""A starved machine takes a minute to start a worker."""

Owned = dict[str, set[tuple[str, int]]]


class Named:
    """A worker with a lasting name."""

    def __init__(self, settings: Settings, directory: Path, name: str) -> None:
        kafka = msgspec.structs.replace(settings.kafka, instance=name)
        self.port = free_port()
        own = msgspec.structs.replace(settings, kafka=kafka, api=ApiSettings(metrics_port=self.port))
        self.name, self.worker = name, Worker(own, directory / name)

    @property
    def takeovers(self) -> int:
        """How many partitions it has taken over: all that it owns, at every rebalance."""
        return int(metrics(self.port)["takeover_seconds_count"])

    async def restart(self) -> None:
        """SIGTERM, wait for the drain, start again."""
        status = await asyncio.to_thread(self.worker.stop)
        assert status == 0, self.worker.log.read_text()[-3000:]
        self.worker.start()
        await asyncio.to_thread(self.worker.ready)


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    return await deployment(KafkaSettings(bootstrap=kafka, session_seconds=SESSION_SECONDS), tmp_path)


@pytest.fixture
def pair(settings: Settings, tmp_path: Path) -> Iterator[list[Named]]:
    made = [Named(settings, tmp_path, name) for name in ("first", "second")]
    yield made
    for one in made:
        if one.worker.runs:
            one.worker.kill()


async def owned(settings: Settings) -> Owned:
    """The partitions of each member, by its lasting name, as the group's coordinator has them."""
    async with admin(settings.kafka) as client:
        (answer,) = await client.describe_consumer_groups([settings.kafka.group])
    ((_, _, _, _, _, members, *_),) = answer.groups
    found: Owned = {}
    for member in members:
        given = ConsumerProtocolMemberAssignment.decode(member[-1])
        found[member[0].split("-")[0]] = {(t, p) for t, numbers in given.assignment for p in numbers}
    return found


@pytest.mark.long_form("long form only: takes more than 40 s")
async def test_a_rolling_restart_moves_no_partition(settings, pair):
    """Under load the group's leader and then the other one are restarted: each has its own partitions again.

    Whoever stays sees no rebalance, and everything counts once.
    """
    generator, (first, second) = Generator(settings, 11), pair
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 500, 10.0, rate=50.0)),
    ):
        first.worker.start()
        await serves_all(generator)
        second.worker.start()
        await asyncio.to_thread(second.worker.ready)
        await asyncio.sleep(3)
        await serves_all(generator)
        before = await owned(settings)
        for goes, stays in ((first, second), (second, first)):
            taken, since = stays.takeovers, monotonic()
            await goes.restart()
            await recovered(generator, "worker with a lasting name: restarted", since)
            assert await owned(settings) == before
            assert stays.takeovers == taken > 0
            assert goes.takeovers == settings.kafka.partitions / 2
    wrong, counts = await settle(generator, [w.worker for w in pair])
    acquit(wrong)
    assert counts["decided_twice"] == 0
