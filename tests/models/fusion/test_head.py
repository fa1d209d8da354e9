"""The head learns what predicts, per gate, and its utilities split exactly."""

from dataclasses import replace

import numpy as np
import pytest

from models.engine import Engine, ListRequest
from models.fold import Rows
from models.fusion.head import Head
from schemas.settings import EngineSettings
from schemas.signals import ExposureRows, InteractionRows, ProbeRows, RewardRows


def probes(n: int, rng: np.random.Generator, maturity: int, signal: int) -> Rows:
    """Probes of ten candidates where feature ``signal`` alone says which one comes."""
    features = rng.normal(size=(10 * n, 3)).astype(np.float32)
    logits = 2.0 * features[:, signal].reshape(n, 10) + rng.gumbel(size=(n, 10))
    rows = replace(
        ProbeRows.empty(),
        item=np.ones(n, np.int32),
        user=np.zeros(n, np.uint64),
        ts=np.zeros(n, np.int64),
        offset=np.arange(n, dtype=np.int64),
        weight=np.ones(n, np.float32),
        arm=np.zeros(n, np.uint8),
        target=logits.argmax(axis=1).astype(np.int32),
        cand_start=np.arange(0, 10 * n + 1, 10, dtype=np.int32),
        cand_item=np.ones(10 * n, np.int32),
        features=features,
        ranks=np.zeros((n, 0), np.int16),
        maturity=np.full(n, maturity, np.uint8),
        gap=np.zeros(n, np.uint8),
    )
    return Rows(
        InteractionRows.empty(), ExposureRows.empty(), RewardRows.empty(), rows, (), ("a", "b", "c"), (), 2
    )


def test_learns_the_weights_that_generated_the_choices():
    """With logits 2·x_signal + Gumbel noise the maximum-likelihood weights are (0, 2, 0)."""
    head = Head(("a", "b", "c"), np.zeros(3))
    rng = np.random.default_rng(4)
    for _ in range(40):
        head.learn(probes(100, rng, 2, 1))
    weights = head.weights_of(np.array([2], np.uint8), np.array([0], np.uint8))[0]
    np.testing.assert_allclose(weights, [0.0, 2.0, 0.0], atol=0.25)


def test_gates_keep_groups_apart():
    """Two maturity groups with different truths get different weights."""
    head = Head(("a", "b", "c"), np.zeros(3))
    rng = np.random.default_rng(5)
    for _ in range(40):
        head.learn(probes(50, rng, 0, 0))
        head.learn(probes(50, rng, 5, 2))
    young, old = head.weights_of(np.array([0, 5], np.uint8), np.zeros(2, np.uint8))
    assert young[0] > young[2] + 0.7
    assert old[2] > old[0] + 0.7


def test_steps_are_newtons():
    """The covariance is the inverse of the prior precision plus the sum of squared gradients."""
    head = Head(("a", "b", "c"), np.zeros(3))
    rng = np.random.default_rng(6)
    precision = np.diag(1.0 / head.variance[0])
    for _ in range(30):
        rows = probes(1, rng, 2, 1)
        x = rows.probes.features.astype(float)
        utility = x @ head.weights_of(np.array([2], np.uint8), np.zeros(1, np.uint8))[0]
        share = np.exp(utility - utility.max())
        gradient = share / share.sum() @ x - x[rows.probes.target[0]]
        precision += np.outer(gradient, gradient)
        head.learn(rows)
    np.testing.assert_allclose(head.covariance[0], np.linalg.inv(precision), rtol=1e-3)


def test_features_that_resemble_each_other_do_not_slow_learning():
    """Four copies of a signal with a little noise each, as scores of related components are: 200 probes do.

    The gain of the sum over chance is seen on fresh probes; the seed is fixed.
    """
    rng = np.random.default_rng(7)
    head = Head(("a", "b", "c", "d", "e"), np.zeros(5))
    for _ in range(200):
        rows = probes(1, rng, 2, 0)
        signal = rows.probes.features[:, :1]
        noise = rng.normal(size=(10, 4)).astype(np.float32)
        features = np.concatenate([signal + 0.05 * noise, rows.probes.features[:, 1:2]], axis=1)
        head.learn(replace(rows, probes=replace(rows.probes, features=features), feature_names=head.names))
    weights = head.weights_of(np.array([2], np.uint8), np.zeros(1, np.uint8))[0]
    assert 1.3 < weights[:4].sum() < 2.7
    assert abs(weights[4]) < 0.4


def test_a_fixed_feature_keeps_its_weight():
    """The offset of sampled candidates is not learned."""
    head = Head(("a", "b", "c"), np.array([0.0, 0.0, 1.0]), fixed=("c",))
    head.learn(probes(200, np.random.default_rng(8), 1, 0))
    weights = head.weights_of(np.array([1], np.uint8), np.zeros(1, np.uint8))[0]
    assert weights[2] == 1.0
    assert weights[0] > 0.5


def test_ten_million_probes_keep_the_head_finite_and_learning():
    """A feature that never varies keeps its prior uncertainty; one whose truth turns is followed.

    100,000 probes stand for ten million: the covariance is stationary long before.
    """
    rng = np.random.default_rng(9)
    head = Head(("a", "b", "c"), np.zeros(3))
    constant = probes(100, rng, 2, 1)
    constant.probes.features[:, 2] = 1.0
    for _ in range(1000):
        head.learn(constant)
    assert np.isfinite(head.weights).all()
    assert (head.covariance[0].diagonal() > 0).all()
    np.testing.assert_allclose(head.covariance[0][2, 2], head.variance[0, 2], rtol=1e-6)
    before = head.weights_of(np.array([2], np.uint8), np.zeros(1, np.uint8))[0]
    for _ in range(200):
        head.learn(probes(100, rng, 2, 0))
    after = head.weights_of(np.array([2], np.uint8), np.zeros(1, np.uint8))[0]
    assert after[0] > before[0] + 0.1


def test_other_features_are_passed_over():
    """Probes of another build change nothing."""
    head = Head(("x", "y", "z"), np.zeros(3))
    before = head.snapshot()
    head.learn(probes(10, np.random.default_rng(0), 1, 1))
    assert head.snapshot() == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["features", "weight"])
def test_probes_that_are_not_finite_teach_nothing(name, bad):
    """One candidate's score, or the probe's weight: the other probes of the block count as if alone."""
    rows = probes(3, np.random.default_rng(4), 1, 0)
    column = getattr(rows.probes, name).copy()
    column[1 if name == "weight" else 12] = bad
    head, twin = Head(("a", "b", "c"), np.ones(3)), Head(("a", "b", "c"), np.ones(3))
    head.learn(replace(rows, probes=replace(rows.probes, **{name: column})))
    without = np.array([1.0, 0.0, 1.0], np.float32)
    twin.learn(replace(rows, probes=replace(rows.probes, weight=without)))
    assert head.snapshot() == twin.snapshot()
    assert np.isfinite(head.weights).all()


def test_parts_sum_to_the_utility_bit_for_bit(small_engine):
    """Every list, by ranks and by the head: parts summed left to right equal the utility exactly."""
    engine, shard = small_engine
    for probes_seen in (engine.head.probes, 0):
        engine.head.probes = probes_seen
        lists = engine.rank([ListRequest(shard=shard, user_id=f"u{n}", k=20) for n in range(8)], now=10**12)
        assert lists.fused is (probes_seen > 0)
        for row, utility in zip(lists.parts, lists.utility, strict=True):
            total = 0.0
            for part in row:
                total += part
            assert total == utility
        assert len(lists.slot) > 0


def test_no_probe_no_head():
    """Before the head has learned, rank fusion ranks."""
    engine = Engine(EngineSettings())
    assert not engine.scorer.ready
