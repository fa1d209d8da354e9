"""From harm to rollback: a real worker, a real auditor, one log between them."""

from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.causal.synthetic import Truth, experiment
from schemas.recommendations import Recommendation
from schemas.settings import AuditSettings, Settings
from schemas.signals import encode_block
from schemas.topics import Topic
from streams.app import wall_clock
from streams.auditor import Auditor
from tests.streams.clients.room import eventually, read, write
from tests.streams.test_worker import click, worker

ELSEWHERE = 99
"""A partition that the worker does not have: its people are in the log only."""


@pytest.fixture
async def shop(deployment: Settings, tmp_path: Path) -> Settings:
    """Five items, ten clicks on them, and time enough for whole lists."""
    settings = msgspec.structs.replace(
        deployment,
        audit=AuditSettings(directory=str(tmp_path / "audit")),
        lists=msgspec.structs.replace(deployment.lists, deadline_ms=60_000.0),
    )
    items = [
        (f"i{n}".encode(), msgspec.json.encode({"item_id": f"i{n}", "title": f"tea {n}"})) for n in range(5)
    ]
    await write(settings.kafka, Topic.ITEMS, items)
    await write(settings.kafka, Topic.CLICKS, [click(f"u{n}", f"i{n % 5}", n) for n in range(10)])
    return settings


async def ask(settings: Settings, number: int) -> Recommendation:
    """A list for somebody of the treatment arm."""
    name = f"q{number}"
    request = {"event_id": name, "request_id": name, "user_id": "somebody", "ts": wall_clock(), "k": 3}
    await write(settings.kafka, Topic.REQUESTS, [(b"somebody", msgspec.json.encode(request))])
    answers: list[Recommendation] = []

    async def answered() -> bool:
        found = await read(settings.kafka, Topic.RECOMMENDATIONS)
        lists = [msgspec.json.decode(r.value, type=Recommendation) for r in found]
        answers.extend(x for x in lists if x.trigger_id == name)
        return bool(answers)

    await eventually(answered)
    return answers[0]


async def test_the_worker_obeys_the_auditor(shop: Settings) -> None:
    """Lists are the treatment's until a harmful log has been audited, and the safe policy's ever after:
    in the next lists, with the next epoch, and after a restart.
    """
    numbers = count(1)
    async with worker(shop) as app:
        # a shop that has met fewer items than a list holds is served what is popular, whoever is in force
        await eventually(lambda: app.runtime.engine.log.rows_learned == 10)
        before = await ask(shop, next(numbers))
        assert (before.arm, before.policy, before.epoch) == ("treatment", "treatment", 0)
        harm = experiment(Truth(click=(0.02, 0.06)), 20_000, np.random.default_rng(1), partition=ELSEWHERE)
        await write(shop.kafka, Topic.SIGNALS, [(b"99", encode_block(b)) for b in harm])
        (clicks, _) = await Auditor(shop).once()
        assert clicks.verdict == "rollback"

        async def ordered() -> bool:
            return (await ask(shop, next(numbers))).epoch == 1

        await eventually(ordered)
        after = await ask(shop, next(numbers))
        assert (after.arm, after.policy, after.epoch) == ("treatment", "safe", 1)
    async with worker(shop):
        again = await ask(shop, next(numbers))
        assert (again.policy, again.epoch) == ("safe", 1)
