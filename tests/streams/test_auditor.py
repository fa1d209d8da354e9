"""The auditor against a real broker: reports, orders, and orders exactly once."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer

from models.causal.synthetic import Truth, experiment
from schemas.control import PolicySwitch
from schemas.errors import CoverGapError, UnavailableError
from schemas.reports import CausalReport
from schemas.settings import AuditSettings, ExperimentSettings, KafkaSettings, Settings
from schemas.signals import SignalBlock, decode_block, encode_block
from streams.auditor import Auditor, NullAuditObserver
from streams.kafka import idempotent_producer
from streams.provision import provision
from tests.streams.clients.room import eventually, running

pytestmark = pytest.mark.timeout(400)

HARM = Truth(click=(0.03, 0.05), purchase=(0.01, 0.01))
NEUTRAL = Truth(click=(0.05, 0.05), purchase=(0.01, 0.01))


@pytest.fixture
async def settings(any_broker: KafkaSettings, tmp_path: Path) -> Settings:
    """A namespace of this test's own, on the embedded broker and on the real Kafka."""
    name = f"audit-{uuid.uuid4().hex[:8]}"
    found = Settings(
        kafka=msgspec.structs.replace(any_broker, namespace=name, partitions=1),
        experiment=ExperimentSettings(name="launch", holdout=0.1),
        audit=AuditSettings(period_seconds=0.2, directory=str(tmp_path / "audit")),
    )
    await provision(found)
    return found


def log(truth: Truth, persons: int, seed: int = 1, first: int = 0, epoch: int = 0) -> list[SignalBlock]:
    return list(experiment(truth, persons, np.random.default_rng(seed), first=first, epoch=epoch))


async def append(settings: Settings, blocks: Sequence[SignalBlock | bytes]) -> None:
    producer = idempotent_producer(settings.kafka)
    await producer.start()
    try:
        for block in blocks:
            data = block if isinstance(block, bytes) else encode_block(block)
            await producer.send_and_wait(f"{settings.kafka.namespace}.signals", data, partition=0)
    finally:
        await producer.stop()


async def everything(settings: Settings, topic: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        f"{settings.kafka.namespace}.{topic}",
        bootstrap_servers=settings.kafka.bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        (tp,) = consumer.assignment()
        end = (await consumer.end_offsets([tp]))[tp]
        found: list[bytes] = []
        while len(found) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [r.value for r in records]
        return found
    finally:
        await consumer.stop()


async def switches(settings: Settings) -> list[PolicySwitch]:
    """Every policy switch of the log, raw."""
    blocks = [decode_block(value) for value in await everything(settings, "signals") if value[:4] == b"SWB1"]
    return [row for block in blocks for row in block.controls if isinstance(row, PolicySwitch)]


async def reports(settings: Settings) -> list[CausalReport]:
    values = await everything(settings, "causal-reports")
    return [msgspec.json.decode(value, type=CausalReport) for value in values]


async def run_until_ordered(settings: Settings) -> None:
    stop = asyncio.Event()
    async with running(Auditor(settings).run(stop), stop):
        await eventually(lambda: switches(settings))
        await asyncio.sleep(1.0)  # it audits on


async def test_a_neutral_treatment_is_reported_and_left_alone(settings: Settings) -> None:
    """Reports under the experiment's key, with the counts of the log; no order."""
    await append(settings, log(NEUTRAL, 8_000))
    made = await Auditor(settings).once()
    assert await reports(settings) == list(made)
    assert {r.metric for r in made} == {"click", "purchase"}
    assert made[0].n_treatment + made[0].n_holdout == 8_000
    assert all(r.verdict in {"running", "insufficient", "non-inferior"} for r in made)
    assert await switches(settings) == []


async def test_harm_orders_the_safe_policy_exactly_once(settings: Settings) -> None:
    """While it runs on, after a second auditor, and after more harmful rows: one switch row."""
    await append(settings, log(HARM, 30_000))
    await run_until_ordered(settings)
    (row,) = await switches(settings)
    assert (row.from_epoch, row.to_epoch, row.policy, row.experiment) == (0, 1, "safe", "launch")
    await append(settings, log(HARM, 5_000, seed=2, first=30_000))
    (again, _) = await Auditor(settings).once()
    assert again.verdict == "rollback"
    assert row.reason in again.action
    assert len(await switches(settings)) == 1


async def test_rows_of_the_former_epoch_change_no_figure_after_the_switch(settings: Settings) -> None:
    """What decided stays what is shown."""
    await append(settings, log(HARM, 30_000))
    decided = await Auditor(settings).once()
    await append(settings, log(NEUTRAL, 5_000, seed=2, first=30_000))
    after = await Auditor(settings).once()
    assert [r.n_treatment for r in decided] == [r.n_treatment for r in after]
    assert after[0].epoch == 1


def take_away(place: str) -> None:
    Path(place).write_text("a file where the directory should be")


def give_back(place: str) -> None:
    Path(place).unlink()


def files_in(place: str) -> int:
    return len(list(Path(place).iterdir()))


async def test_an_auditor_without_a_disk_reports_all_the_same(settings: Settings) -> None:
    """A snapshot that cannot be written is told; the reports are made, and the next one that can be is."""
    told: list[str] = []

    class Facts(NullAuditObserver):
        def on_snapshot_failed(self, reason: str) -> None:
            told.append(reason)

    await append(settings, log(NEUTRAL, 2_000))
    place = settings.audit.directory
    take_away(place)
    made = await Auditor(settings, observer=Facts()).once()
    assert await reports(settings) == list(made)
    assert len(told) == 1
    assert told[0].startswith(f"audit.directory: {place}: ")
    give_back(place)
    await Auditor(settings, observer=Facts()).once()
    assert (len(told), files_in(place)) == (1, 1)


async def test_a_snapshot_saves_reading_the_log_again(settings: Settings) -> None:
    """The second audit folds only what is new, and counts the same as one that reads everything."""
    await append(settings, log(NEUTRAL, 5_000))
    await Auditor(settings).once()
    await append(settings, log(NEUTRAL, 2_000, seed=2, first=5_000))
    counted = Counting()
    (resumed, _) = await Auditor(settings, observer=counted).once()
    elsewhere = msgspec.structs.replace(
        settings, audit=msgspec.structs.replace(settings.audit, directory=settings.audit.directory + "-new")
    )
    assert resumed == (await Auditor(elsewhere).once())[0]
    assert counted.rows < 12_000


class Counting(NullAuditObserver):
    """Counts what was folded, and keeps what was corrupt."""

    def __init__(self) -> None:
        self.rows = 0
        self.corrupt: list[int] = []

    def on_folded(self, rows: int, lag: int) -> None:
        self.rows += rows

    def on_corrupt(self, offset: int, reason: str) -> None:
        self.corrupt.append(offset)


async def test_a_dry_run_writes_nothing(settings: Settings) -> None:
    """It judges, and neither reports nor orders nor leaves a file."""
    await append(settings, log(HARM, 30_000))
    (click, _) = await Auditor(settings, dry_run=True).once()
    assert click.verdict == "rollback"
    assert await switches(settings) == []
    assert await reports(settings) == []
    assert kept(settings) == []


async def test_a_hole_in_the_log_stops_the_audit(settings: Settings) -> None:
    """Nobody is judged by half a log; junk that is no block does no harm."""
    blocks = log(NEUTRAL, 2_000)
    await append(settings, [*blocks[:2], b"junk"])
    counted = Counting()
    await Auditor(settings, observer=counted).once()
    assert counted.corrupt == [2]
    await append(settings, blocks[3:])
    with pytest.raises(CoverGapError):
        await Auditor(settings).once()


async def test_an_empty_log_is_insufficient(settings: Settings) -> None:
    """Nothing happened yet: a report says so."""
    assert {r.verdict for r in await Auditor(settings).once()} == {"insufficient"}


@pytest.mark.kafka
async def test_a_log_that_does_not_exist_is_named(kafka: str) -> None:
    """After a moment, in which it may be new; looking creates none."""
    nowhere = Settings(kafka=KafkaSettings(bootstrap=kafka, namespace="nowhere"))
    with pytest.raises(UnavailableError, match=r"nowhere\.signals: no such topic"):
        await Auditor(nowhere, dry_run=True).once()


def kept(settings: Settings) -> list[Path]:
    """The auditor's snapshot files."""
    return list(Path(settings.audit.directory).glob("*"))


def start(settings: Settings) -> "subprocess.Popen[bytes]":
    """``streamwise audit`` as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": "."}
    for section in ("kafka", "audit"):
        for key, value in msgspec.to_builtins(getattr(settings, section)).items():
            if value is not None:
                environment[f"STREAMWISE_{section}__{key}".upper()] = str(value)
    command = [sys.executable, "-m", "deploy.cli", "audit", "--json"]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, env=environment)


async def wait_for_switch(settings: Settings, process: "subprocess.Popen[bytes]") -> None:
    async def ordered() -> bool:
        assert process.poll() is None, "the auditor ended by itself"
        return bool(await switches(settings))

    await eventually(ordered, 150)


async def test_a_killed_auditor_orders_nothing_twice(settings: Settings) -> None:
    """kill -9 right after the order, three times, with and without its snapshot: still one switch row."""
    await append(settings, log(HARM, 30_000))
    for attempt in range(3):
        if attempt == 2:
            for path in kept(settings):
                path.unlink()
        process = start(settings)
        try:
            await wait_for_switch(settings, process)
            if attempt:
                await asyncio.sleep(3.0)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert len(await switches(settings)) == 1
