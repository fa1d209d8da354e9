"""A day of events in minutes: memory, files and threads stay as they were; what has a time to live ends.

A fixed number of people and items: histories (100) and remembered ids (64) of all of them are full after
half of the day, windows of decisions are as much shorter as the day is.  At every full hour the generator
waits until all that was sent is learned and answered, and the worker is weighed: what it holds at rest.

The rule: over the second half of the day the slope of ``RssAnon`` over events, and its upper bound too
(Theil and Sen's, ``slopes.py``), must be below 128 bytes an event.  A leak of 128 passes in 2.5 % of all runs
and one of 256 in none; without a leak one run in a thousand fails, if readings differ by a megabyte by chance
(``test_slopes.py``).  An event id that is left in a dictionary takes some 170 bytes.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import redis

from schemas.settings import ApiSettings, KafkaSettings, RedisSettings, Settings, UserSettings
from streams.app import wall_clock
from streams.kafka import idempotent_producer
from tests.conftest import free_port
from tests.faults.fleet import worked_off
from tests.faults.load import Generator, deployment, in_background
from tests.faults.oracle import judge
from tests.faults.slopes import slope
from tests.faults.stored import HISTORY, IDS, stored
from tests.faults.watching import descriptors, metrics, resident, threads
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(1800)]

HOUR_MS = 3_600_000
HOURS, HALF, PER_HOUR = 24, 12, 4_200
PEOPLE = 300
SECONDS_AN_HOUR = 6.0
"""In which an hour's events are written, if the machine can."""
READINGS, APART = 12, 0.25
"""The least counts after which so many were not less: a snapshot of the models may be under way before it."""
LISTS_LIVE_SECONDS = 5
BYTES_PER_EVENT = 128.0


class Day(Generator):
    """Events whose own times are spread evenly over the last 24 hours."""

    request_every = 100

    def __init__(self, settings: Settings, seed: int) -> None:
        super().__init__(settings, seed, users=PEOPLE)
        self._began = wall_clock() - HOURS * HOUR_MS
        self._next: list[str] = []

    def user(self) -> str:
        return self._next.pop() if self._next else super().user()

    def time_of(self, number: int) -> int:
        return min(self._began + number * HOUR_MS // PER_HOUR, wall_clock())

    async def hour(self, producer: Any) -> None:
        """Write the next hour's events, evenly."""
        begun = asyncio.get_running_loop().time()
        for n in range(PER_HOUR):
            await self.send(producer, self.message())
            ahead = begun + n / PER_HOUR * SECONDS_AN_HOUR - asyncio.get_running_loop().time()
            if ahead > 0.01:
                await asyncio.sleep(ahead)

    async def farewell(self, producer: Any) -> None:
        """One more event of everybody, and no request: what is kept of them is written once more."""
        self._next = [f"u{n}" for n in range(PEOPLE)]
        self.request_every = 2 * HOURS * PER_HOUR
        for _ in range(PEOPLE):
            await self.send(producer, self.message())


class Held(NamedTuple):
    """What a worker holds at rest."""

    memory: int
    files: int
    threads: int


async def weighed(worker: Worker) -> Held:
    """The least memory, once it does not fall for three seconds, and the files and threads then."""
    pid, readings = worker.process.pid, []
    while not readings or len(readings) - readings.index(min(readings)) <= READINGS:
        readings.append(Held(resident(pid), descriptors(pid), threads(pid)))
        await asyncio.sleep(APART)
    return min(readings)


async def rest(day: Day, port: int) -> None:
    """Return when all that was sent is learned, and every request has its list."""

    async def done() -> bool:
        seen = await asyncio.to_thread(metrics, port)
        learned = int(seen.get("learned_rows_total", 0))
        return learned == len(day.sent.interactions) and day.answered >= day.sent.requests

    await eventually(done, 120)


@pytest.fixture
async def settings(kafka: str, tmp_path: Path, redis_url: str) -> Settings:
    """A decision waits for its rewards for an hour of the compressed day."""
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=10.0), tmp_path)
    return msgspec.structs.replace(
        plain,
        users=UserSettings(checkpoint_seconds=0.5, attribution_seconds=SECONDS_AN_HOUR),
        redis=RedisSettings(url=redis_url, ttl_seconds=LISTS_LIVE_SECONDS),
        api=ApiSettings(metrics_port=free_port()),
    )


@pytest.fixture
def roles(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    """The event process, and the view with another port."""
    other = msgspec.structs.replace(settings, api=ApiSettings(metrics_port=free_port()))
    made = [Worker(settings, tmp_path / "stream"), Worker(other, tmp_path / "view", "view")]
    yield made
    for role in made:
        if role.runs:
            role.kill()


async def ended(settings: Settings) -> None:
    """No list is in Redis whose life is over: what is left is the view's position."""
    with redis.Redis.from_url(settings.redis.url) as client:
        await eventually(lambda: client.dbsize() <= 1, LISTS_LIVE_SECONDS + 30)


async def everybody(settings: Settings) -> dict[str, Any]:
    """What is kept of each person on the ``state`` topic."""
    states = (await stored(settings.kafka)).values()
    return {name: kept for state in states for name, kept in state.people.items()}


@pytest.mark.long_form("long form only: a slope of 128 bytes an event needs 50,000 events")
async def test_a_day_of_events_leaves_memory_as_it_was(settings, roles):
    """100,800 events of 24 hours through the real stack; the second half of them costs no memory."""
    day, held = Day(settings, 27), {role: [] for role in roles}
    for role in roles:
        role.start()
    async with idempotent_producer(settings.kafka) as producer, in_background(day.see_lists()):
        await asyncio.to_thread(roles[0].ready)
        for _ in range(HOURS + 1):
            await rest(day, settings.api.metrics_port)
            for role, now in zip(roles, await asyncio.gather(*map(weighed, roles)), strict=True):
                held[role].append(now)
            if len(held[roles[0]]) <= HOURS:
                await day.hour(producer)
        slopes = [judged(held[role]) for role in roles]
        await asyncio.sleep(SECONDS_AN_HOUR)  # the windows of all decisions have passed
        await day.farewell(producer)
        await worked_off(day)
    found, counts = await judge(settings, day.sent)
    print(counts)
    await ended(settings)
    assert [await asyncio.to_thread(role.stop) for role in roles] == [0, 0]
    acquit(found.wrong())
    people = await everybody(settings)
    assert {len(kept.past) for kept in people.values()} == {HISTORY}
    assert {len(kept.ids) for kept in people.values()} == {IDS}
    assert {len(kept.open) for kept in people.values()} == {0}
    assert max(slopes) < BYTES_PER_EVENT


def judged(held: list[Held]) -> float:
    """Upper bound of the slope of memory over the second half; files and threads are as they were."""
    half = held[HALF:]
    found = slope([PER_HOUR * n for n in range(len(half))], [h.memory for h in half])
    files, at_work = {h.files for h in half}, {h.threads for h in half}
    print({"MB": [round(h.memory / 1e6, 1) for h in held], "bytes per event": found})
    print({"files": sorted(files), "threads": sorted(at_work)})
    assert max(files) - min(files) <= 4  # a connection may be made anew
    assert max(at_work) - min(at_work) <= 2  # of the pool that reads files and metrics for the loop
    return found.most
