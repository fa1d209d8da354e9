"""Metrics and intervals against the referee's definitions, computed one by one."""

import math
import random
from collections import defaultdict

import numpy as np
import pytest

from models.evaluation.metrics import credit, interval, intervals


def test_credit_is_that_of_the_referee():
    """HR@10, NDCG@10, MRR@100 and DCG@100 of every rank."""
    for rank in range(130):
        hr = 1.0 if 0 < rank <= 10 else 0.0
        gain = 1 / math.log2(rank + 1) if rank else 0.0
        listed = 1.0 if 0 < rank <= 100 else 0.0
        expected = (hr, hr * gain, listed / max(rank, 1), listed * gain)
        assert credit(np.array([rank], np.int32))[0] == pytest.approx(expected)


def test_intervals_are_those_of_the_referee():
    """The same resamples of people in order of appearance, and the same ranks, digit for digit."""
    rng = np.random.default_rng(3)
    person, value = rng.integers(0, 40, 500), rng.random((500, 3))
    expected = [plain_interval(value[:, c].tolist(), person.tolist()) for c in range(3)]
    np.testing.assert_allclose(intervals(value, person), expected, rtol=0, atol=1e-12)
    assert intervals(np.zeros((0, 2)), np.zeros(0, np.int64)).tolist() == [[0, 0], [0, 0]]


def plain_interval(value, person, rounds=200):
    """A block bootstrap over people with the standard library."""
    of: defaultdict[int, list[float]] = defaultdict(lambda: [0, 0.0])
    for v, p in zip(value, person, strict=True):
        of[p][0] += 1
        of[p][1] += v
    rows, rng, means = list(of.values()), random.Random(7), []
    for _ in range(rounds):
        pick = rng.choices(rows, k=len(rows))
        means.append(sum(x[1] for x in pick) / sum(x[0] for x in pick))
    means.sort()
    return means[int(0.025 * rounds)], means[int(0.975 * rounds) - 1]


def test_interval_covers_the_mean():
    """Of 200 samples of 200 people the 95 % interval covers the truth in at least 88 % (binomial, 1e-4)."""
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        value = rng.random(200)
        low, high = interval(value, np.arange(200, dtype=np.int32), seed)
        covered += low <= 0.5 <= high
    assert covered >= 176


def test_a_person_with_many_events_widens_the_interval():
    """People are resampled, not events: a thousand equal events of one person are one fact."""
    value = np.concatenate([np.ones(1000), np.zeros(20)])
    person = np.concatenate([np.zeros(1000, np.int64), np.arange(1, 21)])
    low, high = interval(value, person)
    assert high - low > 0.5
