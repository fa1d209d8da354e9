"""Items in, vectors out: each exactly as the log says, whatever fails in between."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.catalogue import Item
from schemas.deadletters import DeadLetter
from schemas.embeddings import Embedding
from schemas.topics import Topic, topic_name
from streams.connection import consumer_options
from streams.encode import MAX_POLLS, MAX_RECORDS, EncodeStage, NullEncodeObserver
from tests.streams.clients.room import eventually, furnish, latest, read, running, write
from tests.workers.encoder.letters import DIM, LetterEncoder
from workers.encoder.pool import EncoderPool
from workers.encoder.spec import text_hash


class Facts(NullEncodeObserver):
    def __init__(self):
        self.published = self.unchanged = self.tombstones = self.refused = 0

    def embedding_published(self):
        self.published += 1

    def item_unchanged(self):
        self.unchanged += 1

    def item_without_text(self):
        self.tombstones += 1

    def item_refused(self, error_class):
        self.refused += 1

    @property
    def all(self):
        return self.published + self.unchanged + self.tombstones + self.refused


@asynccontextmanager
async def working(kafka, encoder=None, facts=None) -> AsyncIterator[Facts]:
    """A stage with a pool of its own, until the block ends."""
    facts = facts or Facts()
    pool = EncoderPool([encoder or LetterEncoder()], clock=time.perf_counter)
    stop = asyncio.Event()
    try:
        async with running(EncodeStage(kafka, pool, observer=facts).run(stop), stop):
            yield facts
    finally:
        await asyncio.to_thread(pool.close)


@asynccontextmanager
async def killed(kafka, encoder) -> AsyncIterator[None]:
    """A stage that dies at the end of the block, wherever it is; then the encoder may go on."""
    pool = EncoderPool([encoder], clock=time.perf_counter)
    dying = asyncio.ensure_future(EncodeStage(kafka, pool).run(asyncio.Event()))
    try:
        yield
    finally:
        dying.cancel()
        await asyncio.wait([dying])
        encoder.gate.set()
        await asyncio.to_thread(pool.close)
    with pytest.raises(asyncio.CancelledError):
        dying.result()


def item(number: int | str, **fields) -> tuple[bytes, bytes]:
    made = Item(item_id=f"i{number}", **{"title": f"title of {number}", **fields})
    return made.item_id.encode(), msgspec.json.encode(made)


async def committed(kafka) -> int:
    """The group's offset of the items partition, 0 before its first commit."""
    group = f"{kafka.namespace}.streamwise-encoder-{LetterEncoder().spec.version}"
    async with AIOKafkaConsumer(**consumer_options(kafka), group_id=group) as consumer:
        tp = TopicPartition(topic_name(Topic.ITEMS, kafka.namespace), 0)
        consumer.assign([tp])
        return await consumer.committed(tp) or 0


async def test_every_item_gets_its_vector(any_broker):
    """300 items: 300 vectors, keyed by item, with version, hash of the text, and the encoder's own values."""
    kafka = await furnish(any_broker)
    await write(kafka, Topic.ITEMS, [item(i) for i in range(300)])
    async with working(kafka) as facts:
        await eventually(lambda: facts.published >= 300)
    records = await read(kafka, Topic.EMBEDDINGS)
    encoder = LetterEncoder()
    assert len(records) == 300
    for record in records:
        embedding = msgspec.json.decode(record.value, type=Embedding)
        text = f"title of {embedding.item_id[1:]}"
        assert (record.key.decode(), embedding.dim) == (embedding.item_id, DIM)
        assert (embedding.model, embedding.version) == ("letters", encoder.spec.version)
        assert embedding.text_hash == text_hash(text)
        np.testing.assert_allclose(embedding.array(), encoder.encode(encoder.tokenize([text]))[0], atol=1e-3)
    assert await committed(kafka) == 300


async def test_the_last_update_stands_last(any_broker):
    """Long first texts and short, cached second ones: order of publishing is the order of the log."""
    kafka = await furnish(any_broker)
    first = [item(i, title="a long text that waits in its batch " * 3 + str(i)) for i in range(50)]
    second = [item(i, title="short") for i in range(50)]
    await write(kafka, Topic.ITEMS, [item("warm", title="short"), *first, *second])
    async with working(kafka) as facts:
        await eventually(lambda: facts.published >= 101)
    hashes = {
        msgspec.json.decode(v, type=Embedding).text_hash
        for v in latest(await read(kafka, Topic.EMBEDDINGS)).values()
    }
    assert hashes == {text_hash("short")}


async def test_a_new_price_publishes_no_vector(any_broker):
    """An update that leaves the text alone writes nothing, and is committed all the same."""
    kafka = await furnish(any_broker)
    await write(kafka, Topic.ITEMS, [item(1, price=float(price)) for price in range(20)])
    async with working(kafka) as facts:
        await eventually(lambda: facts.all >= 20)
    assert (facts.published, facts.unchanged) == (1, 19)
    assert len(await read(kafka, Topic.EMBEDDINGS)) == 1
    assert await committed(kafka) == 20


async def test_what_is_delisted_or_loses_its_text_loses_its_vector(any_broker):
    """A null value and an emptied text leave tombstones; a relisted item gets its vector again."""
    kafka = await furnish(any_broker)
    delisted, emptied, relisted = (b"i1", None), item(2, title=""), (b"i3", None)
    await write(kafka, Topic.ITEMS, [item(1), item(2), item(3), delisted, emptied, relisted, item(3)])
    async with working(kafka) as facts:
        await eventually(lambda: facts.all >= 7)
    held = latest(await read(kafka, Topic.EMBEDDINGS))
    assert [held[key] is None for key in (b"i1", b"i2", b"i3")] == [True, True, False]


async def test_poison_is_passed_over_and_named_once(any_broker):
    """Six kinds of poison among 200 items: 200 vectors, and a dead letter for the text that is no text.

    What cannot be read is intake's to send to the dead letters: here it is counted.
    """
    kafka = await furnish(any_broker)
    poison = [
        (b"p0", b"not json"),
        (b"p1", b'{"item_id": ""}'),
        (b"p2", b'{"item_id": "p2", "title": 5}'),
        (b"p3", msgspec.json.encode({"item_id": "p3", "title": "x" * (1 << 20)})),
        (b"\xff", None),
        (b"p5", msgspec.json.encode({"item_id": "p5", "title": "poison"})),
    ]
    good = [item(i) for i in range(200)]
    await write(kafka, Topic.ITEMS, [*good[:100], *poison, *good[100:]])
    async with working(kafka) as facts:
        await eventually(lambda: facts.all >= 206)
    assert (facts.published, facts.refused) == (200, 6)
    assert set(latest(await read(kafka, Topic.EMBEDDINGS))) == {key for key, _ in good}
    (letter,) = await read(kafka, Topic.DEAD_LETTERS)
    assert (letter.key, letter.value) == poison[5]
    why = DeadLetter.from_headers(letter.headers)
    assert (why.field, why.stage, why.offset) == ("$.title", "encode", 105)
    assert await committed(kafka) == 206


async def test_a_restart_encodes_nothing_twice(any_broker):
    """After a clean stop everything is committed: the next worker publishes only what is new."""
    kafka = await furnish(any_broker)
    await write(kafka, Topic.ITEMS, [item(i) for i in range(20)])
    async with working(kafka) as facts:
        await eventually(lambda: facts.published >= 20)
    await write(kafka, Topic.ITEMS, [item("new")])
    async with working(kafka) as facts:
        await eventually(lambda: facts.published >= 1)
    assert len(await read(kafka, Topic.EMBEDDINGS)) == 21


async def test_nothing_is_committed_before_its_vector_is_written(any_broker):
    """A worker that dies while its encoder is busy leaves the offset behind; the next one does all."""
    kafka = await furnish(any_broker)
    await write(kafka, Topic.ITEMS, [item(i) for i in range(40)])
    held = LetterEncoder()
    held.gate.clear()
    async with killed(kafka, held):
        await eventually(held.busy.is_set)
        await asyncio.sleep(1.2)  # longer than the commit period
        assert await committed(kafka) == 0
    async with working(kafka) as facts:
        await eventually(lambda: facts.published >= 40)
    assert len(latest(await read(kafka, Topic.EMBEDDINGS))) == 40


async def test_no_more_texts_are_read_than_may_wait(any_broker):
    """While the encoder stands, reading stops after a few polls; then it goes on to the end."""
    kafka, facts, asked, most = await furnish(any_broker), Facts(), 0, 0
    held = LetterEncoder()
    held.gate.clear()

    class Counting(EncoderPool):
        def submit(self, texts):
            nonlocal asked, most
            asked += len(texts)
            most = max(most, asked - facts.published)
            return super().submit(texts)

    pool = Counting([held], clock=time.perf_counter)
    await write(kafka, Topic.ITEMS, [item(i) for i in range(8 * MAX_RECORDS)])
    stop = asyncio.Event()
    async with running(EncodeStage(kafka, pool, observer=facts).run(stop), stop):
        try:
            await eventually(lambda: asked > 2 * MAX_RECORDS)
        finally:
            held.gate.set()
        await eventually(lambda: facts.published >= 8 * MAX_RECORDS)
    await asyncio.to_thread(pool.close)
    # one poll has its vectors awaited, MAX_POLLS are behind it, and one more waits for room
    assert 2 * MAX_RECORDS < most <= (MAX_POLLS + 2) * MAX_RECORDS


@pytest.mark.kafka
async def test_two_workers_hand_over_without_losing_an_item(real):
    """A second worker joins while the first works: every item has its last vector, all is committed."""
    own = await furnish(real)
    one, two = Facts(), Facts()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(working(own, facts=one))
        for part in range(10):
            if part == 3:
                await stack.enter_async_context(working(own, facts=two))
            await write(own, Topic.ITEMS, [item(i, title=f"edition {part} of {i}") for i in range(100)])
        await eventually(lambda: _committed_all(own, 1000))
    held = latest(await read(own, Topic.EMBEDDINGS))
    assert {msgspec.json.decode(value, type=Embedding).text_hash for value in held.values()} == {
        text_hash(f"edition 9 of {i}") for i in range(100)
    }


async def _committed_all(kafka, count):
    return await committed(kafka) == count
