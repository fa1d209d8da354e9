"""The encoder pool absent, or killed in a batch: lists go on and say so, items get their vectors after it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import msgspec
import numpy as np
import pytest

from schemas.embeddings import Embedding
from schemas.ladder import Cause, Rung
from schemas.recommendations import Recommendation
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from tests.faults.fleet import recovered, serves_all, worked_off
from tests.faults.load import ITEMS, Generator, deployment, in_background
from tests.faults.oracle import judge
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read, write
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.encoder, pytest.mark.slow, pytest.mark.timeout(1200)]

KINDS = ("tea", "cup", "hammer", "lamp", "rope")
NEWEST = 5

Mark = tuple[str, str | None]
"""Rung and cause of a list."""

FULL: set[Mark] = {(Rung.FULL, None)}
WITHOUT: set[Mark] = {(Rung.NO_VECTORS, Cause.VECTORS)}


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    """Time enough for whole lists: a missing vector is all that takes a rung away."""
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    return msgspec.structs.replace(plain, lists=msgspec.structs.replace(plain.lists, deadline_ms=60_000.0))


@pytest.fixture
def roles(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    """The event process and the encoder."""
    made = [Worker(settings, tmp_path / verb, verb) for verb in ("stream", "encode")]
    yield made
    for role in made:
        if role.runs:
            role.kill()


async def add_items(settings: Settings, count: int, price: float, *, first: int = 0) -> None:
    """Items with texts of their own; at another price their texts are what they were."""
    body = {"category": "things", "price": price}
    items = [
        (f"x{n}".encode(), body | {"item_id": f"x{n}", "title": f"{KINDS[n % 5]} number {n} of {n * n}"})
        for n in range(first, first + count)
    ]
    await write(settings.kafka, Topic.ITEMS, [(key, msgspec.json.encode(item)) for key, item in items])


async def vectors(settings: Settings) -> dict[str, list[Embedding]]:
    """Everything that was published of each item, in order."""
    found: dict[str, list[Embedding]] = defaultdict(list)
    for record in await read(settings.kafka, Topic.EMBEDDINGS):
        made = msgspec.json.decode(record.value, type=Embedding)
        found[made.item_id].append(made)
    return found


async def published(settings: Settings) -> int:
    return sum(map(len, (await vectors(settings)).values()))


async def show(settings: Settings, marks: set[Mark]) -> bool:
    """Whether the newest lists are all marked so; those that a learner or a deadline took away aside."""
    records = await read(settings.kafka, Topic.RECOMMENDATIONS)
    lists = [msgspec.json.decode(r.value, type=Recommendation) for r in records if r.value is not None]
    scored = [one for one in lists if one.rung in {Rung.FULL, Rung.NO_VECTORS}]
    newest = sorted(scored, key=lambda one: one.ts)[-NEWEST:]
    return len(newest) == NEWEST and {(one.rung, one.cause) for one in newest} == marks


async def die_and_come_back(encoder: Worker, generator: Generator, items: int) -> tuple[int, int]:
    """Kill the encoder at its work, describe items until most lack a vector, and start it again.

    How many vectors it had published before, and how many items were described without it.
    """
    settings = generator.settings
    await serves_all(generator)  # without it
    await eventually(lambda: show(settings, FULL), 60)  # nobody has promised vectors yet
    encoder.start()

    async def at_work() -> bool:
        assert encoder.runs, encoder.log.read_text()[-2000:]
        return await published(settings) >= 20

    await eventually(at_work, 120)
    encoder.kill()
    await recovered(generator, "encoder: SIGKILL", monotonic())
    before = await published(settings)
    fresh = max(0, 2 * before - items) + 20
    await add_items(settings, fresh, 1.0, first=items)
    await eventually(lambda: show(settings, WITHOUT), 60)
    await serves_all(generator)
    assert await show(settings, WITHOUT)
    encoder.start()

    async def complete() -> bool:
        return len(await vectors(settings)) == items + fresh

    await eventually(complete, 120)
    await eventually(lambda: show(settings, FULL), 60)
    return before, fresh


@pytest.mark.long_form("long form only: takes more than 20 s")
async def test_lists_do_not_wait_for_vectors_and_no_item_is_left_without(settings, roles):
    """Never started, killed in a batch, back: lists say what they lack, and every item gets one vector."""
    (stream, encoder), generator, items = roles, Generator(settings, 25), 800
    await add_items(settings, items, 1.0)
    stream.start()
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 4_000, 40.0)),
    ):
        await asyncio.to_thread(stream.ready)
        before, fresh = await die_and_come_back(encoder, generator, items + ITEMS)
        await generator.share_written.wait()
        await serves_all(generator)
        made = await published(settings)
        await add_items(settings, items, 2.0)
        assert await asyncio.to_thread(encoder.stop) == 0, encoder.log.read_text()[-2000:]
    await worked_off(generator)
    assert await asyncio.to_thread(stream.stop) == 0, stream.log.read_text()[-3000:]
    found, counts = await judge(settings, generator.sent)
    again = made - items - ITEMS - fresh
    told = {"items": items + ITEMS, "described meanwhile": fresh, "before the kill": before}
    print(counts | told | {"published again": again})
    acquit(found.wrong())
    assert 20 <= before < items + ITEMS, "the kill came too late to hit a batch"
    assert again <= before  # what was published and not committed: once again, and never more
    for of_item in (await vectors(settings)).values():
        first, *rest = (one.array() for one in of_item)
        assert len(rest) <= 1
        assert all(np.dot(first, other) > 0.999 for other in rest)
