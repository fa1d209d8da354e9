"""The encoder pool absent, or killed in a batch: lists go on, and items get their vectors after it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from schemas.embeddings import Embedding
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from tests.faults.fleet import serves_all, worked_off
from tests.faults.load import ITEMS, Generator, deployment, in_background
from tests.faults.oracle import judge
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read, write

pytestmark = [pytest.mark.kafka, pytest.mark.encoder, pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = ("tea", "cup", "hammer", "lamp", "rope")


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    return await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)


@pytest.fixture
def roles(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    """The event process and the encoder."""
    made = [Worker(settings, tmp_path / verb, verb) for verb in ("stream", "encode")]
    yield made
    for role in made:
        if role.runs:
            role.kill()


async def add_items(settings: Settings, count: int, price: float) -> None:
    """Items with texts of their own; at another price their texts are what they were."""
    body = {"category": "things", "price": price}
    items = [
        (f"x{n}".encode(), body | {"item_id": f"x{n}", "title": f"{KINDS[n % 5]} number {n} of {n * n}"})
        for n in range(count)
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


async def die_and_come_back(encoder: Worker, generator: Generator, items: int) -> int:
    """Kill the encoder at its work, and start it again; how many vectors it had published before."""
    settings = generator.settings
    await serves_all(generator)  # without it
    encoder.start()

    async def at_work() -> bool:
        assert encoder.runs, encoder.log.read_text()[-2000:]
        return await published(settings) >= 20

    await eventually(at_work, 120)
    encoder.kill()
    before = await published(settings)
    await asyncio.sleep(1.0)
    await serves_all(generator)
    encoder.start()

    async def complete() -> bool:
        return len(await vectors(settings)) == items

    await eventually(complete, 120)
    return before


@pytest.mark.long_form("long form only: takes more than 20 s")
async def test_lists_do_not_wait_for_vectors_and_no_item_is_left_without(settings, roles):
    """Never started, killed in a batch, back: every item has one vector, what was published stands."""
    (stream, encoder), generator, items = roles, Generator(settings, 25), 800
    await add_items(settings, items, 1.0)
    stream.start()
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 4_000, 40.0)),
    ):
        await asyncio.to_thread(stream.ready)
        before = await die_and_come_back(encoder, generator, items + ITEMS)
        await generator.share_written.wait()
        await serves_all(generator)
        made = await published(settings)
        await add_items(settings, items, 2.0)
        assert await asyncio.to_thread(encoder.stop) == 0, encoder.log.read_text()[-2000:]
    await worked_off(generator)
    assert await asyncio.to_thread(stream.stop) == 0, stream.log.read_text()[-3000:]
    found, counts = await judge(settings, generator.sent)
    again = made - items - ITEMS
    print(counts | {"items": items + ITEMS, "before the kill": before, "published again": again})
    assert found.wrong() == {}
    assert 20 <= before < items + ITEMS, "the kill came too late to hit a batch"
    assert again <= before  # what was published and not committed: once again, and never more
    for of_item in (await vectors(settings)).values():
        first, *rest = (one.array() for one in of_item)
        assert len(rest) <= 1
        assert all(np.dot(first, other) > 0.999 for other in rest)
