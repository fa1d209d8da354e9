"""From harm to rollback: a real worker, a real auditor, one log between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import msgspec
import numpy as np

from models.causal.synthetic import Truth, experiment
from models.engine import Engine
from schemas.recommendations import Recommendation
from schemas.settings import AuditSettings, Settings
from schemas.signals import encode_block
from schemas.topics import Topic
from streams.app import create_app, serve, wall_clock
from streams.auditor import Auditor
from tests.streams.clients.room import eventually, read, write

ELSEWHERE = 99
"""A partition that the worker does not have: its people are in the log only."""


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(serve(create_app(settings, Engine.of(settings)), stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


async def ask(settings: Settings, number: int) -> Recommendation:
    """A list for somebody of the treatment arm."""
    name = f"q{number}"
    request = {"event_id": name, "request_id": name, "user_id": "somebody", "ts": wall_clock()}
    await write(settings.kafka, Topic.REQUESTS, [(b"somebody", msgspec.json.encode(request))])
    answers: list[Recommendation] = []

    async def answered() -> bool:
        found = await read(settings.kafka, Topic.RECOMMENDATIONS)
        lists = [msgspec.json.decode(r.value, type=Recommendation) for r in found]
        answers.extend(x for x in lists if x.trigger_id == name)
        return bool(answers)

    await eventually(answered, 60)
    return answers[0]


async def test_the_worker_obeys_the_auditor(deployment: Settings, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Lists are the treatment's until a harmful log has been audited, and the safe policy's ever after:
    in the next lists, with the next epoch, and after a restart.
    """
    settings = msgspec.structs.replace(deployment, audit=AuditSettings(directory=str(tmp_path / "audit")))
    items = [
        (f"i{n}".encode(), msgspec.json.encode({"item_id": f"i{n}", "title": f"tea {n}"})) for n in range(5)
    ]
    await write(settings.kafka, Topic.ITEMS, items)
    async with worker(settings):
        before = await ask(settings, 1)
        assert (before.arm, before.policy, before.epoch) == ("treatment", "treatment", 0)
        harm = experiment(Truth(click=(0.02, 0.06)), 20_000, np.random.default_rng(1), partition=ELSEWHERE)
        await write(settings.kafka, Topic.SIGNALS, [(b"99", encode_block(b)) for b in harm])
        (click, _) = await Auditor(settings).once()
        assert click.verdict == "rollback"
        numbers = count(2)

        async def safe() -> bool:
            return (await ask(settings, next(numbers))).policy == "safe"

        await eventually(safe, 60)
        after = await ask(settings, next(numbers))
        assert (after.arm, after.policy, after.epoch) == ("treatment", "safe", 1)
    async with worker(settings):
        again = await ask(settings, next(numbers))
        assert (again.policy, again.epoch) == ("safe", 1)
