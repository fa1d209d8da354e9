"""Twenty kills under which another server lost an acknowledged reward (``docs/reliability.md``)."""

import asyncio
from pathlib import Path
from time import monotonic

import msgspec
import numpy as np
import pytest

from schemas.settings import ApiSettings, KafkaSettings
from tests.conftest import free_port
from tests.faults.fleet import recovered, serves_all, settle
from tests.faults.keeper import Keeper
from tests.faults.load import Generator, deployment, in_background, patient_producer
from tests.faults.poster import Poster
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually
from tests.verdict import acquit

KILLS, SEED = 20, 21
NAME = "worker and HTTP server: SIGKILL, 20 times"


async def kill(process: Worker) -> None:
    """SIGKILL; two moments may fall together, and then it has to be up again first."""
    await eventually(lambda: process.runs)
    process.kill()


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.long_form("long form only: 100,000 events in some six minutes")
async def test_twenty_kills_lose_no_acknowledged_event(kafka: str, tmp_path: Path) -> None:
    """20 moments at random; at each the worker and the HTTP server get SIGKILL.

    One generator posts over HTTP and sends again what was not answered with 202, another writes to the
    source topics with acks from all.  100,000 events are acknowledged, and every one of them counts once.
    """
    count, seconds = 54_000, 330.0
    settings = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=4.0), tmp_path)
    settings = msgspec.structs.replace(settings, api=ApiSettings(port=free_port()))
    worker, api = Worker(settings, tmp_path), Worker(settings, tmp_path / "api", "api")
    keeper, generator = Keeper([worker, api]), Generator(settings, SEED, users=1000)
    poster = Poster(generator.twin("w"), f"http://127.0.0.1:{settings.api.port}")
    producer = patient_producer(settings.kafka)
    kills = np.sort(np.random.default_rng(SEED).uniform(5.0, seconds, KILLS))
    try:
        async with producer, in_background(keeper.run(), generator.see_lists()):
            async with in_background(generator.write(producer, count, seconds)):
                posts = asyncio.ensure_future(poster.write(count, seconds))
                recoveries = []
                for n, pause in enumerate(np.diff(kills, prepend=0.0), 1):
                    await asyncio.sleep(float(pause))
                    for one in (worker, api):
                        await kill(one)
                    falls = keeper.falls if n == KILLS else ()  # all of them, told once
                    served = recovered(generator, NAME, monotonic(), 600, falls=falls)
                    recoveries.append(asyncio.ensure_future(served))
                await posts
                await asyncio.gather(*recoveries)
                await generator.share_written.wait()
                await serves_all(generator, 120)
            await producer.flush()
            await asyncio.to_thread(api.stop) if api.runs else None
        wrong, counts = await settle(generator, [worker])
    finally:
        for one in (worker, api):
            if one.runs:
                one.kill()
    killed = worker.ends.count(-9), api.ends.count(-9)
    print(counts, killed, f"{poster.again} batches posted again; ended by themselves: {keeper.falls}")
    assert generator.sent.acknowledged >= 100_000
    assert min(killed) >= KILLS - 2
    acquit(wrong)
