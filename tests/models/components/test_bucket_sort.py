"""Keys in rising order, whatever their distances and their number."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.components.bucket_sort import CROWDED, bucket_sort
from models.jit import kernel

KEYS = st.one_of(
    st.lists(st.integers(0, 2**64 - 1), max_size=300),
    st.lists(st.integers(0, 300) | st.just(2**63), max_size=300),  # crowds, and one far away
)


@kernel
def rising(keys, spare, counts):
    bucket_sort(keys, spare, counts)


@given(KEYS, st.integers(2, 1024))
@settings(max_examples=300)
def test_it_sorts(keys, buckets):
    """Far keys, near ones, equal ones, and one or more in every bucket."""
    mine = np.array(keys, np.uint64)
    rising(mine, np.zeros(len(mine), np.uint64), np.zeros(buckets, np.int32))
    assert mine.tolist() == sorted(keys)


def test_a_crowd_beside_an_outlier():
    """One bucket holds all but one key: it is sorted by comparing."""
    keys = np.append(np.random.default_rng(3).permutation(4 * CROWDED), 2**63).astype(np.uint64)
    mine = keys.copy()
    rising(mine, np.zeros(len(mine), np.uint64), np.zeros(16, np.int32))
    np.testing.assert_array_equal(mine, np.sort(keys))


def test_scratch_longer_than_the_keys_is_left_where_it_ends():
    """``spare`` may be longer; what lies behind is untouched."""
    mine, spare = np.array([3, 1, 2], np.uint64), np.full(5, 9, np.uint64)
    rising(mine, spare, np.zeros(8, np.int32))
    assert mine.tolist() == [1, 2, 3]
    assert spare[3:].tolist() == [9, 9]
