"""Selection by histogram against sorting everything."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.components.base import mix
from models.components.selecting import (
    BUCKETS,
    best_first,
    bucket,
    item_of,
    key_of,
    limit_of,
    score_of,
    select,
    threshold,
)
from models.jit import kernel

TIES = st.lists(st.sampled_from([-2.0, 0.0, -0.0, 0.25, 3.0]), max_size=300)
SCORES = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=300) | TIES


@kernel
def best_positive(values, bits, k):
    histogram = np.zeros(BUCKETS, np.int32)
    for b in bits:
        histogram[bucket(b)] += 1
    limit = limit_of(histogram, k)
    keys, n = np.empty(len(bits), np.uint64), 0
    for i in range(len(bits)):
        if bits[i] >= limit:
            keys[n] = key_of(values[i], i + 1)
            n += 1
    items, out = np.full(k, -1, np.int32), np.full(k, -1.0, np.float32)
    best_first(keys[:n], (histogram, np.empty(n, np.uint64)), items, out)
    return items, out


@kernel
def there_and_back(score, item):
    key = key_of(score, item)
    return score_of(key), item_of(key)


def check(values, k, items, out):
    order = sorted(range(len(values)), key=lambda i: (-values[i], mix(i + 1)))[:k]
    assert items[: len(order)].tolist() == [i + 1 for i in order]
    np.testing.assert_array_equal(out[: len(order)], values[order])
    assert not items[len(order) :].any()


@given(
    st.lists(st.floats(2.0**-40, 2.0**20, width=32) | st.sampled_from([0.5, 3.0]), max_size=300),
    st.integers(1, 40),
)
@settings(max_examples=150)
def test_positive_scores_by_buckets_of_their_bits(scores, k):
    """Any positive scores, ties included: the same items in the same order, padded with item 0."""
    values = np.array(scores, np.float32)
    check(values, k, *best_positive(values, values.view(np.int32), k))


@given(SCORES, st.integers(1, 40))
@settings(max_examples=200)
def test_any_scores_by_linear_buckets(scores, k):
    """Scores of any sign and size give the list of a full sort."""
    values = np.array(scores, np.float32)
    items, out = np.full(k, -1, np.int32), np.full(k, -1.0, np.float32)
    scratch = (np.zeros(64, np.int32), np.zeros((2, len(values) + 1), np.uint64))
    select(values, np.arange(1, len(values) + 1, dtype=np.int32), scratch, items, out)
    check(values, k, items, out)


@given(SCORES.filter(len), st.integers(1, 500), st.integers(0, 2**31 - 1))
@settings(max_examples=200)
def test_enough_lies_at_or_above_the_threshold(scores, enough, seed):
    """What is at or above it weighs enough, or is all there is."""
    values = np.array(scores, np.float32)
    weights = np.random.default_rng(seed).integers(0, 9, len(values)).astype(np.int32)
    limit = threshold(values, weights, enough, np.zeros(32, np.int32))
    kept = values >= limit
    assert weights[kept].sum() >= enough or kept.all()


@given(st.floats(width=32, allow_nan=False), st.integers(0, 2**31 - 1))
def test_keys_give_back_what_they_were_made_of(score, item):
    """The hash is a bijection and its inverse is right; scores keep their value."""
    assert there_and_back(np.float32(score), item) == (score, item)
