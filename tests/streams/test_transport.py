"""Record batches: cut by count and bytes, committed in order, marked."""

import asyncio
from collections import defaultdict, deque
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError
from faust.transport.consumer import Consumer
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import IncarnationError
from schemas.topics import Topic
from streams.connection import consumer_options
from streams.fetch_thread import BatchConsumerThread
from streams.kafka import idempotent_producer
from streams.transport import BatchConsumer, cut, mark_of
from tests.streams.clients.room import eventually

PARTITION = TP("clicks", 0)


def batch_consumer(*lasts: int) -> BatchConsumer:
    """Ours, with runs delivered that end at these offsets."""
    consumer = object.__new__(BatchConsumer)
    consumer._delivered = defaultdict(deque, {PARTITION: deque((last, f"m{last}") for last in lasts)})
    consumer._acked = defaultdict(list)
    consumer._acked_index = defaultdict(set)
    consumer.marks = {}
    return consumer


def acknowledge(consumer: BatchConsumer, *offsets: int) -> int | None:
    consumer._acked[PARTITION] += offsets
    consumer._acked_index[PARTITION] |= set(offsets)
    return consumer._new_offset(PARTITION)


def test_nothing_is_committed_past_what_is_not_acknowledged():
    """Runs acknowledged out of order are committed when the one before them is."""
    consumer = batch_consumer(9, 19, 29)
    assert acknowledge(consumer, 29, 19) is None
    assert acknowledge(consumer, 9) == 30


def test_stock_faust_commits_past_the_first_message_if_it_is_slow():
    """The defect that ours is not: with offset 2585 in hand and 2586 to 2589 done, stock says 2590."""
    stock = SimpleNamespace(
        _acked={PARTITION: [2586, 2587, 2588, 2589]},
        _acked_index={PARTITION: {2586, 2587, 2588, 2589}},
        _gap={PARTITION: None},
        _committed_offset={PARTITION: 2585},
    )
    assert Consumer._new_offset(stock, PARTITION) == 2590
    ours = batch_consumer(2585, 2586, 2587, 2588, 2589)
    assert acknowledge(ours, 2586, 2587, 2588, 2589) is None


def test_a_committed_offset_carries_the_mark_of_the_record_before_it():
    """By it a recreated topic is recognised."""
    consumer = batch_consumer(9, 19)
    acknowledge(consumer, 9)
    assert consumer.marks == {(PARTITION, 10): "m9"}


def test_what_another_generation_committed_holds_nothing_back():
    """A commit that came late left 500 there; runs below it are acknowledged and leave the queue."""
    consumer = batch_consumer(9, 19)
    consumer._committed_offset = {PARTITION: 500}
    consumer._unacked_messages = set()
    for last in (9, 19):
        message = Mock(acked=False, tp=PARTITION, offset=last)
        assert consumer.ack(message)
        assert not consumer.ack(message)
    assert consumer._new_offset(PARTITION) == 20
    assert not consumer._delivered[PARTITION]


@pytest.mark.parametrize("overtaken", [False, True])
async def test_a_seek_that_a_rebalance_overtakes_makes_nothing_ready(overtaken, monkeypatch):
    """The end of the rebalance seeks again; until then nothing is delivered."""
    consumer = batch_consumer(9)
    consumer._ready, consumer._stash, consumer._rebalances = {PARTITION}, {PARTITION: ["old"]}, 3
    consumer._previous, consumer.assignment = {PARTITION: 9}, lambda: {PARTITION}

    async def seek(self):
        assert not self._ready
        self._stash[PARTITION] = ["fetched since the seek"]
        self._rebalances += overtaken

    monkeypatch.setattr(Consumer, "perform_seek", seek)
    with pytest.raises(IllegalStateError) if overtaken else nullcontext():
        await consumer.perform_seek()
    assert consumer._ready == (set() if overtaken else {PARTITION})
    assert consumer._stash == {PARTITION: ["fetched since the seek"]}


@given(st.permutations(range(12)))
def test_every_order_of_acknowledgement_commits_prefixes(order):
    """Whatever the order, the committed offset is the end of a prefix that is fully acknowledged."""
    consumer, done, committed = batch_consumer(*range(12)), set(), 0
    for offset in order:
        done.add(offset)
        committed = acknowledge(consumer, offset) or committed
        assert set(range(committed)) <= done
    assert committed == 12


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 10), st.integers(1, 100))
def test_runs_keep_order_and_bounds(sizes, most, max_bytes):
    """Cutting loses and reorders nothing; only a single record may exceed the bytes."""
    records = [SimpleNamespace(value=b"x" * n, offset=i) for i, n in enumerate(sizes)]
    runs = list(cut(records, most, max_bytes))
    assert [r for run in runs for r in run] == records
    assert all(len(run) <= most for run in runs)
    assert all(len(run) == 1 or sum(len(r.value) for r in run) <= max_bytes for run in runs)


def test_the_mark_tells_records_apart():
    """Key, value and time all count."""
    base = {"key": b"k", "value": b"v", "timestamp": 1}
    marks = {
        mark_of(SimpleNamespace(**(base | change)))
        for change in [{}, {"key": b"l"}, {"value": None}, {"timestamp": 2}]
    }
    assert len(marks) == 4


async def fetched(thread: BatchConsumerThread, consumer: AIOKafkaConsumer, tp: TopicPartition) -> list[int]:
    """Offsets that one fetch brings."""
    found = await thread._fetch_records(consumer, {tp}, timeout=2.0, max_records=100)
    return [record.offset for record in found.get(tp, [])]


async def test_what_was_fetched_before_the_seek_comes_again(deployment):
    """Also where the group has committed nothing but the beginning: that is where a new topic stands.

    A fetch that a rebalance overtakes is dropped, and its records are behind the position by then.  The
    seek must put the position back; aiokafka's own leaves it, and a click was lost with a broker's death.
    """
    kafka, topic = deployment.kafka, deployment.kafka.topic(Topic.CLICKS)
    tp = TopicPartition(topic, 0)
    async with idempotent_producer(kafka) as producer:
        for n in range(9):  # all in one partition: without a key the client would draw one for each
            await producer.send_and_wait(topic, b"%d" % n, partition=0)
    options = consumer_options(kafka) | {"group_id": kafka.group, "fetch_max_wait_ms": 50}
    async with AIOKafkaConsumer(topic, **options) as consumer:
        end = (await consumer.end_offsets([tp]))[tp]
        assert end == 9
        thread = object.__new__(BatchConsumerThread)
        thread.consumer = SimpleNamespace(flow_active=True)
        await consumer.commit({tp: 0})
        with pytest.raises(IncarnationError, match=f"{topic}/1: the group has no offset"):
            await thread._seek(consumer)
        await consumer.commit({TopicPartition(topic, 1): 0})

        async def all_dropped() -> bool:
            assert await fetched(thread, consumer, tp) == []
            return bool(await consumer.position(tp) == end)

        async def offsets(count: int) -> list[int]:
            found: list[int] = []
            async with asyncio.timeout(30):
                while len(found) < count:
                    found += await fetched(thread, consumer, tp)
            return found

        await eventually(all_dropped)  # fetched, and not for us
        await consumer.seek_to_committed()
        assert await consumer.position(tp) == end  # the defect that ours is not
        assert (await thread._seek(consumer))[tp] == 0
        assert await offsets(end) == list(range(end))
        await consumer.commit({tp: 1})
        await thread._seek(consumer)
        assert await offsets(end - 1) == list(range(1, end))
