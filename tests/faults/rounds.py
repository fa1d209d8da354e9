"""A round: a deployment of its own on three brokers, three workers, faults one after the other, a verdict."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import numpy as np

from schemas.settings import KafkaSettings
from tests.faults.cluster import Cluster
from tests.faults.fleet import serves_all, settle, worked_off
from tests.faults.keeper import Keeper
from tests.faults.load import Generator, deployment, in_background, patient_producer
from tests.faults.menu import MENU, SESSION_SECONDS, Stage, heal
from tests.faults.report import note
from tests.faults.worker import Worker

RATE = 100
AGAIN = 0.1
PATIENCE_SECONDS = 400.0
"""For everything asked to be answered: a starved machine takes minutes from a restart to lists."""


class Round:
    """The stage of one round, and what was wrong at its end."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.wrong: dict[str, Any] = {}
        self.counts: dict[str, int] = {}


@asynccontextmanager
async def one_round(cluster: Cluster, directory: Path, seed: int, *, fleet: int = 3) -> AsyncIterator[Round]:
    """Load and workers while the block breaks them; then everything is worked off, drained and judged.

    Records are written twice at times; of odd seeds the producer is not idempotent.
    """
    replication = len(cluster.numbers)
    broker = KafkaSettings(
        bootstrap=cluster.bootstrap, session_seconds=SESSION_SECONDS, replication=replication, partitions=6
    )
    settings = await deployment(broker, directory)
    through = msgspec.structs.replace(settings.kafka, bootstrap=cluster.proxied)
    proxied = msgspec.structs.replace(settings, kafka=through)
    workers = [Worker(proxied, directory / f"worker{n}") for n in range(fleet + 2)]
    keeper, generator = Keeper(workers[:fleet]), Generator(settings, seed, again=AGAIN)
    producer = patient_producer(settings.kafka, idempotent=seed % 2 == 0)
    rng = np.random.default_rng(seed)
    this = Round(Stage(cluster, keeper, workers[fleet:], generator, producer, rng))
    try:
        async with producer, in_background(keeper.run(), generator.see_lists()):
            async with in_background(generator.write(producer, RATE, 1.0, rate=RATE)):
                await serves_all(generator, PATIENCE_SECONDS)
                yield this
                await serves_all(generator, PATIENCE_SECONDS)
            await producer.flush()
            await worked_off(generator)
        this.wrong, this.counts = await settle(generator, workers)
        print({"told": this.stage.told, "missed": this.stage.missed, "fell": keeper.falls})
    except AssertionError:
        print(*(worker.said() for worker in workers), sep="\n")
        raise
    finally:
        for worker in workers:
            if worker.runs:
                worker.kill()


async def suffer(stage: Stage, names: Iterable[str], until: float = float("inf")) -> None:
    """Faults one after the other, each when everything asked during the former is answered."""
    for name in names:
        if monotonic() > until:
            return
        await suffer_one(stage, name)
        await asyncio.sleep(float(stage.random.uniform(0.5, 3)))


async def suffer_one(stage: Stage, name: str) -> None:
    """One fault, and how long until everything asked until its end was answered."""
    began, falls, told, missed = monotonic(), len(stage.keeper.falls), len(stage.told), len(stage.missed)
    sent = len(stage.generator.sent.interactions)
    try:
        await MENU[name](stage)
    finally:
        heal(stage)
    over = monotonic()
    await serves_all(stage.generator, PATIENCE_SECONDS)
    stage.before = name
    note(
        "fault",
        name=name,
        seed=stage.generator.sent.seed,
        events=len(stage.generator.sent.interactions) - sent,
        fault_seconds=round(over - began, 2),
        recovery_seconds=round(monotonic() - over, 2),
        fell=len(stage.keeper.falls) - falls,
        said=[*stage.keeper.falls[falls:], *stage.told[told:], *stage.missed[missed:]],
    )
