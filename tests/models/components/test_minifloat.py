"""Sixteen-bit weights: exact where they can be, unbiased where they cannot."""

import numpy as np
import pytest

from models.components.minifloat import LARGEST_CODE, decode, encode, next_bits
from models.jit import kernel


@kernel
def there_and_back(weight, noise):
    return decode(encode(weight, noise))


@kernel
def total(increments, state):
    code = 0
    for n in range(len(increments)):
        code = encode(decode(code) + increments[n], np.int64(next_bits(state) & np.uint64(4095)))
    return decode(code)


@kernel
def decoded(code):
    return decode(code)


def test_codes_order_as_weights_and_come_back():
    """Every code is its own weight's code, whatever the noise, and larger codes are larger weights."""
    weights = np.array([decoded(c) for c in range(0, LARGEST_CODE + 1, 17)])
    assert weights[0] == 0.0
    assert (np.diff(weights) > 0).all()
    assert all(there_and_back(w, noise) == w for w in weights[::50] for noise in (0, 4095))


@pytest.mark.parametrize("weight", [0.0, 1e-9])
def test_what_is_too_small_is_nothing(weight):
    """Below 2^-16 a weight is 0."""
    assert there_and_back(weight, 0) == 0.0


def test_what_is_too_large_saturates():
    """No overflow, at any size."""
    assert there_and_back(1e30, 4095) == decoded(LARGEST_CODE) == pytest.approx(2.0**16, rel=1e-3)


@pytest.mark.parametrize("increment", [1.0, 0.037, 3e-4])
def test_sums_are_unbiased(increment):
    """The mean of 200 sums of 20,000 additions is right within 1 %, a single one within 12 %.

    One sum's relative standard deviation is at most 2^-5.5 = 2.2 %; with fixed seeds nothing is left to
    chance, and a new seed would fail with a probability below one in a million.
    """
    increments = np.full(20_000, increment)
    sums = np.array([total(increments, np.array([seed], np.uint64)) for seed in range(200)])
    assert sums.mean() == pytest.approx(increments.sum(), rel=0.01)
    assert np.abs(sums / increments.sum() - 1.0).max() <= 0.12
