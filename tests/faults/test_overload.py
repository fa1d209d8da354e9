"""Three times as many lists are wanted as can be made: what is given up, in which order, and what never."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.engine import Engine
from models.requests import Batch
from schemas.events import Decision
from schemas.ladder import Rung
from schemas.recommendations import Recommendation
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic
from streams.app import create_app, serve
from streams.kafka import idempotent_producer
from streams.observer import NullObserver
from streams.overload import Level
from tests.faults.fleet import worked_off
from tests.faults.load import Generator, deployment, in_background
from tests.faults.oracle import judge
from tests.faults.report import note
from tests.streams.clients.room import eventually, read
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

LIST_SECONDS, CHEAP_SECONDS = 0.02, 0.001
"""What a list takes at least, a whole one and one of a lower rung: so a worker makes 50 a second at most."""
OVER = 3 / LIST_SECONDS
BATCH, DEADLINE_MS = 8, 1000.0


class Slow(Engine):
    """Lists take as long on any machine."""

    def draw(self, batch: Batch, *, rung: Rung = Rung.FULL, **options: Any) -> list[Decision]:
        time.sleep(len(batch.requests) * (LIST_SECONDS if rung is Rung.FULL else CHEAP_SECONDS))
        return super().draw(batch, rung=rung, **options)


class Told(NullObserver):
    """Levels in order, and triggers that got no list, by reason."""

    def __init__(self) -> None:
        self.levels: list[int] = []
        self.shed: Counter[str] = Counter()

    def on_overload(self, level: int) -> None:
        self.levels.append(level)

    def on_shed(self, reason: str, count: int) -> None:
        self.shed[reason] += count


@asynccontextmanager
async def worker(settings: Settings, told: Told) -> AsyncIterator[Any]:
    """A slow worker; it drains at the end."""
    app, stop = create_app(settings, Slow.of(settings), observer=told), asyncio.Event()
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(app, stop, lambda: started.set_result(None)))
    try:
        await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        await eventually(app.runtime.catalogue.caught_up.is_set, 60)
        yield app.runtime
    finally:
        stop.set()
        await serving


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=60.0), tmp_path)
    lists = msgspec.structs.replace(
        plain.lists, publish="always", batch=BATCH, deadline_ms=DEADLINE_MS, max_pending=500
    )
    return msgspec.structs.replace(plain, lists=lists)


async def published(settings: Settings) -> list[Recommendation]:
    records = await read(settings.kafka, Topic.RECOMMENDATIONS)
    return [msgspec.json.decode(r.value, type=Recommendation) for r in records if r.value is not None]


async def test_three_times_what_a_worker_can_make(settings, short):
    """Every request is answered, pushes are replaced or shed and counted, and every level is left again."""
    told, generator, seconds = Told(), Generator(settings, 61), 6.0 if short else 30.0
    async with worker(settings, told) as runtime:
        async with (
            idempotent_producer(settings.kafka) as producer,
            in_background(generator.write(producer, round(OVER * seconds), seconds)) as (writing,),
        ):
            await generator.share_written.wait()
            writing.cancel()
        since = time.monotonic()
        # at first nothing waits either: a slow machine may still have to read most of what was sent
        await eventually(lambda: max(told.levels, default=0) >= Level.PUSHES, 180)
        await eventually(lambda: runtime.overload.level is Level.NOTHING and not len(runtime.queue), 180)
        levels = list(told.levels)  # what comes later may raise it again
        took, seed, events = round(time.monotonic() - since, 2), generator.sent.seed, generator.count
        name = "load: three times what a worker can make"
        note("fault", name=name, seed=seed, events=events, recovery_seconds=took, fell=0, said=[])
        await worked_off(generator)
        await runtime.lists.drained()
        shed = Counter(told.shed)
    found, counts = await judge(settings, generator.sent)
    lists = {one.trigger_id: one for one in await published(settings)}
    answers = [one for trigger, one in lists.items() if trigger in generator.sent.requests]
    print(
        counts
        | {"levels": levels, "shed": dict(shed), "requests": len(generator.sent.requests)}
        | {"answers": Counter((one.rung, one.cause) for one in answers)}
    )
    acquit(found.wrong())
    assert len(answers) == len(generator.sent.requests)
    pushed = len(lists) - len(answers)
    assert pushed + shed.total() == len(generator.sent.interactions)
    assert shed["overload"] > 0
    steps = list(zip([0, *levels], levels, strict=False))
    assert all(after - before == -1 for before, after in steps if after < before)
    assert levels[-1] == Level.NOTHING
