"""Random numbers from counters: reference words, and their laws."""

import numpy as np
import pytest
from scipy import stats

from models.counter_random import GOLDEN, finalise, mix, next_beta, next_gamma, next_normal, unit
from models.jit import kernel

ALARM = 1e-6
"""False-alarm probability of each comparison of laws here."""


@kernel
def many_gamma(n: int, shape: float):
    """Draws of one stream."""
    stream = np.array([np.uint64(7)])
    return np.array([next_gamma(stream, shape) for _ in range(n)])


@kernel
def many_beta(n: int, alpha: float, beta: float):
    """Draws of one stream."""
    stream = np.array([np.uint64(8)])
    return np.array([next_beta(stream, alpha, beta) for _ in range(n)])


@kernel
def many_normal(n: int):
    """Draws of one stream."""
    stream = np.array([np.uint64(9)])
    return np.array([next_normal(stream) for _ in range(n)])


@kernel
def reference(n: int):
    """SplitMix64 with seed 1234567."""
    out = np.empty(n, np.uint64)
    state = np.uint64(1234567)
    for i in range(n):
        state += GOLDEN
        out[i] = finalise(state)
    return out


@kernel
def lots(seeds, counter):
    out = np.empty(len(seeds))
    for n in range(len(seeds)):
        out[n] = unit(mix(seeds[n], counter))
    return out


def test_words_are_those_of_splitmix64() -> None:
    """The published reference outputs for seed 1234567."""
    assert reference(3).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_lots_are_uniform_and_differ_by_counter() -> None:
    """Kolmogorov-Smirnov against the uniform law; two counters are uncorrelated."""
    seeds = np.arange(50_000, dtype=np.uint64)
    a, b = lots(seeds, 1), lots(seeds, 2)
    assert stats.kstest(a, "uniform").pvalue > ALARM
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(50_000)
    assert mix(np.uint64(3), 1) != mix(np.uint64(3), 2)


def test_normals_are_normal() -> None:
    """Kolmogorov-Smirnov, 50,000 draws."""
    assert stats.kstest(many_normal(50_000), "norm").pvalue > ALARM


@pytest.mark.parametrize("shape", [0.01, 0.3, 1.0, 3.0, 500.0])
def test_gammas_follow_their_law(shape: float) -> None:
    """Kolmogorov-Smirnov, 50,000 draws, below and above shape 1."""
    assert stats.kstest(many_gamma(50_000, shape), stats.gamma(shape).cdf).pvalue > ALARM


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 19.0), (0.5, 0.5), (30.0, 4.0), (1e-3, 1e-3), (1e6, 1e6)])
def test_betas_follow_their_law(alpha: float, beta: float) -> None:
    """Kolmogorov-Smirnov, 50,000 draws; extreme parameters give numbers in [0, 1]."""
    draws = many_beta(50_000, alpha, beta)
    assert ((draws >= 0) & (draws <= 1)).all()
    if min(alpha, beta) > 0.01:
        assert stats.kstest(draws, stats.beta(alpha, beta).cdf).pvalue > ALARM
    else:
        assert abs(draws.mean() - 0.5) < 5 * 0.5 / np.sqrt(50_000)
