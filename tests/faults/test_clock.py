"""Clocks that jump by an hour, a worker's and producers': time goes on by the broker's, and steadily."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest

from schemas.recommendations import Recommendation
from schemas.settings import ApiSettings, KafkaSettings, ListSettings, Settings
from schemas.topics import Topic
from streams.app import wall_clock
from streams.kafka import idempotent_producer
from streams.lists import STALE_MS
from tests.conftest import free_port
from tests.faults.fleet import recovered, serves_all, worked_off
from tests.faults.load import Generator, deployment, in_background
from tests.faults.oracle import judge
from tests.faults.watching import metrics, shed
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1200)]

HOUR_MS = 3_600_000
SLACK_MS = 10_000
"""Of the machines' clocks, and of a start before the broker is heard."""
JUMPS = ("-1h", "+1h", "+0")


class Skewed:
    """A producer whose clock, by turns, is an hour ahead, right, and an hour behind."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._sent = 0

    async def send(self, topic: str, value: bytes, *, key: bytes) -> Any:
        self._sent += 1
        off = (self._sent % 3 - 1) * HOUR_MS
        body = msgspec.json.decode(value)
        value = msgspec.json.encode(body | {"ts": body["ts"] + off})
        return await self._producer.send(topic, value, key=key, timestamp_ms=wall_clock() + off)


class Clock:
    """The wall clock of a process, in a file that libfaketime reads."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            pytest.skip("no libfaketime under /usr/lib: install the package faketime")
        self.before = (
            "env",
            f"LD_PRELOAD={found[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_CACHE_DURATION=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        )

    def set(self, offset: str) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(offset + "\n", "utf-8")
        draft.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    made = Clock(tmp_path)
    made.set("+1h")
    return made


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    """Every event asks for a list: a clock that is wrong by a minute would shed them all."""
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    api = ApiSettings(metrics_port=free_port())
    return msgspec.structs.replace(plain, api=api, lists=ListSettings(publish="always"))


@pytest.fixture
def worker(settings: Settings, tmp_path: Path, clock: Clock) -> Iterator[Worker]:
    made = Worker(settings, tmp_path / "worker", before=clock.before)
    yield made
    if made.runs:
        made.kill()


async def jump(worker: Worker, clock: Clock, generator: Generator, pause: float) -> float:
    """The worker's clock jumps while it works, and once while it is dead; for how long nobody was served."""
    await asyncio.to_thread(worker.ready)
    await serves_all(generator)
    for offset in JUMPS:
        clock.set(offset)
        await asyncio.sleep(pause)
        await recovered(generator, f"worker's clock: {offset}", monotonic())
    worker.kill()
    since = monotonic()
    clock.set("-1h")
    worker.start()
    await asyncio.to_thread(worker.ready)
    await recovered(generator, "worker's clock: -1h while it is dead", since)
    return monotonic() - since


async def judge_times(settings: Settings, begun: int) -> int:
    """Every record and every list carries a time of the test's; returns how many lists there are."""
    ended = wall_clock()

    def wrong(times: list[int]) -> list[int]:
        return [t for t in times if not begun - SLACK_MS <= t <= ended + SLACK_MS]

    assert wrong([r.timestamp for r in await read(settings.kafka, Topic.EVENTS)]) == []
    records = [r for r in await read(settings.kafka, Topic.RECOMMENDATIONS) if r.value is not None]
    assert wrong([r.timestamp for r in records]) == []
    lists = [msgspec.json.decode(r.value, type=Recommendation) for r in records]
    assert wrong([made.ts for made in lists]) == []
    return len(lists)


async def test_a_jump_of_an_hour_moves_no_window_and_sheds_no_list(settings, worker, clock, short):
    """±1 h on the worker, at its start, under load and dead; ±1 h on producers: the oracle finds nothing."""
    begun = wall_clock()
    generator = Generator(settings, 23)
    share, pause = ((800, 8.0), 2.0) if short else ((8_000, 60.0), 12.0)
    worker.start()
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(Skewed(producer), *share)),
    ):
        down = await jump(worker, clock, generator, pause)
        await generator.share_written.wait()
        await serves_all(generator)
    await worked_off(generator)
    seen = await eventually(lambda: metrics(settings.api.metrics_port))
    stale = shed(settings.api.metrics_port, "stale")
    assert await asyncio.to_thread(worker.stop) == 0, worker.log.read_text()[-3000:]
    found, counts = await judge(settings, generator.sent)
    lists = await judge_times(settings, begun)
    negative = {k: v for k, v in seen.items() if v < 0 and k.endswith(("seconds", "seconds_sum"))}
    print(counts | {"lists": lists, "clamped": seen["intake_clamped_events_total"]})
    acquit(found.wrong())
    assert negative == {}
    assert seen["intake_clamped_events_total"] > 0
    assert counts["rewards_named"] > 0
    # a busy machine sheds pushes too, for other reasons; those that waited through its death may be too old:
    # their turn comes behind the requests that tell how long it was down
    assert stale == 0 or down > STALE_MS / 1000 - 30
    assert lists > len(generator.sent.requests)
