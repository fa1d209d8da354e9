"""The auditor dead: lists go on and nobody steps down; back, it orders what it missed, once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.causal.synthetic import Truth, experiment
from schemas.control import PolicySwitch
from schemas.ladder import Rung
from schemas.recommendations import Recommendation
from schemas.reports import CausalReport
from schemas.settings import AuditSettings, ExperimentSettings, KafkaSettings, Settings
from schemas.signals import decode_block, encode_block
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from tests.faults.fleet import serves_all
from tests.faults.load import Generator, deployment, finished, in_background
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read, write

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1200)]

ELSEWHERE = 99
"""A partition that no worker has: its people are in the log only."""
ALONE_SECONDS = 20.0
FINE, HARM = Truth(click=(0.05, 0.05)), Truth(click=(0.02, 0.06))


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    return msgspec.structs.replace(
        plain,
        experiment=ExperimentSettings(holdout=0.1),
        audit=AuditSettings(period_seconds=0.5, directory=str(tmp_path / "audit")),
    )


@pytest.fixture
def roles(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    """The event process and the auditor."""
    made = [Worker(settings, tmp_path / verb, verb) for verb in ("stream", "audit")]
    yield made
    for role in made:
        if role.runs:
            role.kill()


async def people(settings: Settings, truth: Truth, count: int, first: int) -> None:
    """Exposures and rewards of people who behave like this."""
    blocks = experiment(truth, count, np.random.default_rng(first), partition=ELSEWHERE, first=first)
    await write(settings.kafka, Topic.SIGNALS, [(b"99", encode_block(block)) for block in blocks])


async def orders(settings: Settings) -> list[PolicySwitch]:
    blocks = [decode_block(record.value) for record in await read(settings.kafka, Topic.SIGNALS)]
    return [row for block in blocks for row in block.controls if isinstance(row, PolicySwitch)]


async def audited(settings: Settings) -> list[int]:
    """Offsets of ``signals`` at which it was audited, in the order of the reports."""
    records = await read(settings.kafka, Topic.CAUSAL_REPORTS)
    return [msgspec.json.decode(record.value, type=CausalReport).signals_offset for record in records]


async def policies(settings: Settings) -> list[tuple[str, str, int]]:
    """Arm, policy and epoch of every whole list, in the log's order; a busy machine makes others, too."""
    records = [r for r in await read(settings.kafka, Topic.RECOMMENDATIONS) if r.value is not None]
    made = [msgspec.json.decode(r.value, type=Recommendation) for r in records]
    return [(one.arm, one.policy, one.epoch) for one in made if one.rung == Rung.FULL]


async def reports_beyond(settings: Settings, offset: int) -> int:
    """The newest offset that was audited, once it is beyond another."""

    async def newest() -> int:
        last = max(await audited(settings), default=0)
        return last if last > offset else 0

    return int(await eventually(newest, 60))


async def live_without_it(auditor: Worker, generator: Generator) -> None:
    """Harm is done while it is dead and nobody steps down; back, it orders the safe policy once."""
    settings = generator.settings
    await people(settings, FINE, 3_000, 0)
    auditor.start()
    reached = await reports_beyond(settings, 0)
    auditor.kill()
    await people(settings, HARM, 20_000, 3_000)
    await asyncio.sleep(ALONE_SECONDS)
    await serves_all(generator)
    assert {policy for arm, policy, _ in await policies(settings) if arm == "treatment"} == {"treatment"}
    auditor.start()
    await eventually(lambda: orders(settings), 60)
    auditor.kill()
    assert await reports_beyond(settings, reached - 1) >= reached
    auditor.start()

    async def safe() -> bool:
        await serves_all(generator)
        return ("treatment", "safe", 1) in await policies(settings)

    await eventually(safe, 60)
    await reports_beyond(settings, max(await audited(settings)))


@pytest.mark.long_form("long form only: takes more than 20 s")
async def test_nothing_depends_on_the_auditor_and_its_order_comes_once(settings, roles):
    """Killed before it saw the harm and killed when it had ordered: one control row, and no event lost."""
    (stream, auditor), generator = roles, Generator(settings, 26)
    stream.start()
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 6_000, 60.0)),
    ):
        await asyncio.to_thread(stream.ready)
        await live_without_it(auditor, generator)
        await generator.share_written.wait()
        await serves_all(generator)
    await eventually(lambda: finished(generator), 60)
    statuses = [await asyncio.to_thread(role.stop) for role in roles]
    assert statuses == [0, 0], "\n".join(role.log.read_text()[-2000:] for role in roles)
    ordered, shown = await orders(settings), await policies(settings)
    print({"lists": len(shown), "orders": len(ordered), "reports": len(await audited(settings))})
    assert [(row.from_epoch, row.to_epoch, row.policy) for row in ordered] == [(0, 1, "safe")]
    assert await audited(settings) == sorted(await audited(settings))
    epochs = [epoch for _, _, epoch in shown]
    assert max(epochs) == 1
