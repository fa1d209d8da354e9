"""Record batches: cut by count and bytes, committed in order, marked."""

from collections import defaultdict, deque
from types import SimpleNamespace

from faust.transport.consumer import Consumer
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.transport import BatchConsumer, cut, mark_of

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
