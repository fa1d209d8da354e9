"""The batcher loses nothing, reorders nothing across takes and keeps its budgets, for any texts."""

from hypothesis import given
from hypothesis import strategies as st

from workers.encoder.batcher import TokenQueue, padded, split

LENGTHS = st.lists(st.integers(1, 300), max_size=80)
BUDGET = st.integers(1, 1000)


@given(LENGTHS, BUDGET)
def test_every_text_is_in_exactly_one_sub_batch(lengths, budget):
    """A split is a partition of the texts, and no sub-batch is empty."""
    batches = split(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS, BUDGET)
def test_a_sub_batch_keeps_the_padded_budget_unless_one_text_exceeds_it(lengths, budget):
    """Texts times longest stays within the budget; only a text alone may exceed it."""
    for batch in split(lengths, budget):
        size = len(batch) * max(lengths[i] for i in batch)
        assert size <= budget or len(batch) == 1


@given(LENGTHS, BUDGET)
def test_sub_batches_are_sorted_by_length(lengths, budget):
    """Short texts never pay for long ones: lengths never fall from one sub-batch to the next."""
    flat = [lengths[i] for batch in split(lengths, budget) for i in batch]
    assert flat == sorted(lengths)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=80), BUDGET)
def test_splitting_never_computes_more_than_one_padded_batch(lengths, budget):
    """At worst as much as padding everything to the longest, at best the tokens themselves."""
    tokens = padded(lengths, split(lengths, budget))
    assert sum(lengths) <= tokens <= len(lengths) * max(lengths)


@given(LENGTHS, BUDGET)
def test_takes_are_first_in_first_out_and_keep_the_budget(costs, budget):
    """All takes together give the queue's order; each keeps the token budget unless it is one value."""
    queue = TokenQueue[int](budget)
    for i, cost in enumerate(costs):
        queue.put(i, cost)
    taken = []
    while batch := queue.take():
        assert sum(costs[i] for i in batch) <= budget or len(batch) == 1
        taken += batch
        assert queue.tokens == sum(costs[len(taken) :])
    assert taken == list(range(len(costs)))


@given(st.lists(st.one_of(st.integers(1, 50), st.none()), max_size=60), st.integers(1, 100))
def test_interleaved_puts_and_takes_lose_nothing(steps, budget):
    """Whatever the interleaving, all comes out once, in order; a take is empty only at the end."""
    queue = TokenQueue[int](budget)
    put, out = 0, list[int]()
    for cost in steps:
        if cost is None:
            batch = queue.take()
            assert batch or put == len(out)
            out += batch
        else:
            queue.put(put, cost)
            put += 1
    while batch := queue.take():
        out += batch
    assert out == list(range(put))
    assert queue.tokens == 0
