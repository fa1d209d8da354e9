"""A hot person, a burst of ten times the load and floods of poison: nothing is lost and memory is bounded."""

import asyncio
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from schemas.settings import ApiSettings, KafkaSettings, Settings
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from tests.conftest import free_port
from tests.faults.fleet import serves_all
from tests.faults.load import Generator, checkpointed, deployment, finished, in_background
from tests.faults.oracle import judge
from tests.faults.report import note
from tests.faults.shapes import Hot, Poison, letters
from tests.faults.watching import metrics, resident
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read, write
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

GROWTH = 256 << 20
"""Bytes that a worker may hold more in a burst and a flood than before them: its queues' bounds together."""
JUNK = (b"", b"\xff\xfe\x00", b'{"type":"click"', b'{"type":"unheard of","user_id":"u1"}', b"[" * 5_000)


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=60.0), tmp_path)
    return msgspec.structs.replace(plain, api=ApiSettings(metrics_port=free_port()))


async def weigh(worker: Worker, seen: list[int]) -> None:
    """Memory of a worker, twice a second, for ever."""
    while True:
        seen.append(resident(worker.process.pid))
        await asyncio.sleep(0.5)


async def drained(generator: Generator) -> float:
    """Seconds until everything that was sent has its row, its answer, and its place in a checkpoint."""
    begun = monotonic()
    await eventually(lambda: finished(generator), 180)
    took = monotonic() - begun
    await eventually(lambda: checkpointed(generator), 60)
    return took


async def throw_junk(generator: Generator) -> None:
    """On our own topics, by somebody who may write there: it is refused, and lists go on."""
    settings = generator.settings
    before = len(await letters(settings))
    for topic in (Topic.EVENTS, Topic.SIGNALS, Topic.RECOMMENDATIONS):
        await write(settings.kafka, topic, [(None, value) for value in JUNK])
    thrown = monotonic()
    await eventually(lambda: metrics(settings.api.metrics_port).get("learner_lag_blocks") == 0, 30)

    async def refused() -> bool:
        return len(await letters(settings)) == before + len(JUNK)

    await eventually(refused, 30)
    topic, key, value = next(made for _ in range(100) if (made := generator.message())[0] is Topic.REQUESTS)
    await write(settings.kafka, topic, [(key, value)])
    asked = msgspec.json.decode(value)["event_id"]

    async def answered() -> bool:
        records = await read(settings.kafka, Topic.RECOMMENDATIONS)
        return any(asked.encode() in (record.value or b"") for record in records)

    await eventually(answered, 30)
    note_load(generator, "junk on our own topics", monotonic() - thrown)


def note_load(generator: Generator, name: str, seconds: float) -> None:
    """How long a load was felt after it."""
    seed, took = generator.sent.seed, round(seconds, 2)
    note("fault", name=name, seed=seed, events=generator.count, recovery_seconds=took, fell=0, said=[])


async def test_a_hot_person_a_burst_and_a_flood_of_poison(settings, worker, short):
    """A fifth of the events are one person's; 10× the load; 8 topics flooded with what cannot be read."""
    generator, poison, seen = Hot(settings, 24), Poison(settings, 24), []
    rate, calm, burst = (40, 4.0, 6.0) if short else (100, 20.0, 30.0)
    floods = (480, 16) if short else (4_000, 80)
    worker.start()
    async with idempotent_producer(settings.kafka) as producer, in_background(generator.see_lists()):
        await asyncio.to_thread(worker.ready)
        async with in_background(generator.write(producer, int(rate * calm), calm)):
            await generator.share_written.wait()
            await serves_all(generator)
            before = resident(worker.process.pid)
        async with in_background(
            weigh(worker, seen), generator.write(producer, int(10 * rate * burst), burst)
        ) as tasks:
            await asyncio.gather(poison.flood(producer, *floods, burst), generator.share_written.wait())
            tasks[1].cancel()
            lag = await drained(generator)
    note_load(generator, "load: times 10, and poison on eight topics", lag)
    generator.sent.poison = poison.sent
    found, counts = await judge(settings, generator.sent)
    refused = await letters(settings)
    print(
        counts
        | {"hot": generator.hot, "poison": len(poison.sent), "drained after": round(lag, 1)}
        | {"MB before": before >> 20, "MB at most": max(seen) >> 20, "MB at last": seen[-1] >> 20}
    )
    acquit(found.wrong())
    # one that a rebalance delivered again has its letter once more
    assert {place: set(told) for place, told in refused.items()} == {p: {r} for p, r in poison.sent.items()}
    assert max(seen) < before + GROWTH
    assert worker.runs
    await throw_junk(generator)
    assert await asyncio.to_thread(worker.stop) == 0, worker.log.read_text()[-3000:]
