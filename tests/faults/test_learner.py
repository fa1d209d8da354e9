"""The shared learner killed again and again under load: lists go on, and its models are those of the log."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import msgspec
import numpy as np
import pytest

from models.engine import Engine
from schemas.settings import KafkaSettings, Settings
from schemas.signals import decode_block
from schemas.topics import Topic
from streams.arena import ArenaReader, current
from streams.kafka import idempotent_producer
from tests.faults.fleet import recovered, serves_all, settle
from tests.faults.load import Generator, deployment, in_background
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

SEED, KILLS = 31, 12


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    replace = msgspec.structs.replace
    learner = replace(plain.learner, mode="shared", arena=str(tmp_path / "arena"), publish_seconds=0.1)
    return replace(plain, learner=learner)


@pytest.fixture
def processes(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    """One learner and two event processes."""
    verbs = {"learn": "learn", "stream-1": "stream", "stream-2": "stream"}
    made = [Worker(settings, tmp_path / name, verb) for name, verb in verbs.items()]
    yield made
    for process in made:
        if process.runs:
            process.kill()


async def publishes_beyond(settings: Settings, offset: int) -> int:
    """What the newest version has learned, as soon as it is beyond an offset."""

    def newest() -> int:
        found = current(Path(settings.learner.arena))
        return found.offset if found is not None and found.offset > offset else 0

    return int(await eventually(newest, 120))


@pytest.mark.long_form("long form only: takes more than 20 s")
async def test_lists_need_no_living_learner_and_its_models_are_the_logs(settings, processes):
    """Killed at any moment, an event process every second time with it: no version goes back, no row is lost.

    Seed and number of kills: ``SEED``, ``KILLS``.
    """
    learner, *streams = processes
    random, generator, reached = np.random.default_rng(SEED), Generator(settings, SEED), 0
    for process in processes:
        process.start()
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 1_000 * KILLS, 6.0 * KILLS)),
    ):
        await asyncio.gather(*(asyncio.to_thread(s.ready) for s in streams))
        for n in range(KILLS):
            reached = await publishes_beyond(settings, reached)
            await asyncio.sleep(random.uniform(0.0, 2.0))
            learner.kill()
            since, name = monotonic(), "shared learner: SIGKILL"
            if n % 2:
                streams[n // 2 % 2].kill()
                streams[n // 2 % 2].start()
                name += ", and an event process"
            await recovered(generator, name, since)
            learner.start()
        await generator.share_written.wait()
        await serves_all(generator)
        await publishes_beyond(settings, reached)
    wrong, counts = await settle(generator, processes)
    acquit(wrong)
    assert counts["propensities"] > 0
    await compare_with_a_fold(settings)


async def compare_with_a_fold(settings: Settings) -> None:
    """The newest version, byte by byte, beside all blocks of the log up to where it ends."""
    reader = ArenaReader(Path(settings.learner.arena), settings.kafka.namespace)
    found = reader.look()
    assert found is not None
    version, lent = reader.open(found)
    published, folded = Engine.of(settings), Engine.of(settings)
    published.adopt(lent)
    for record in (await read(settings.kafka, Topic.SIGNALS))[: version.offset]:
        folded.learn(decode_block(record.value))
    assert version.rows > 0
    assert published.snapshot() == folded.snapshot()
