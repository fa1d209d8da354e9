"""Selection by histogram against sorting everything."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.components.base import mix
from models.components.selecting import BUCKETS, best_first, bucket, item_of, key_of, limit_of
from models.jit import kernel


@kernel
def best(values, bits, k):
    histogram = np.zeros(BUCKETS, np.int32)
    for b in bits:
        histogram[bucket(b)] += 1
    limit = limit_of(histogram, k)
    keys, n = np.empty(len(bits), np.uint64), 0
    for i in range(len(bits)):
        if bits[i] >= limit:
            keys[n] = key_of(bits[i], i + 1)
            n += 1
    items, out = np.full(k, -1, np.int32), np.full(k, -1.0, np.float32)
    best_first(keys[:n], items, out)
    return items, out


@kernel
def returned(item):
    return item_of(key_of(1, item))


@given(
    st.lists(st.floats(1e-12, 1e6, width=32), max_size=300) | st.lists(st.sampled_from([0.25, 0.5, 3.0]), max_size=300),
    st.integers(1, 40),
)
@settings(max_examples=150, deadline=None)
def test_the_best_are_those_of_a_full_sort(scores, k):
    """Any positive scores, ties included: the same items in the same order, padded with item 0."""
    values = np.array(scores, np.float32)
    items, out = best(values, values.view(np.int32), k)
    order = sorted(range(len(values)), key=lambda i: (-values[i], mix(i + 1)))[:k]
    assert items[: len(order)].tolist() == [i + 1 for i in order]
    np.testing.assert_array_equal(out[: len(order)], values[order])
    assert not items[len(order) :].any()


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None)
def test_keys_give_their_items_back(item):
    """The hash is a bijection and its inverse is right."""
    assert returned(item) == item
