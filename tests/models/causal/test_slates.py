"""Lists under another policy: the join, and estimates against known truth."""

import numpy as np
import pytest

from models.causal.gates import support_gates
from models.causal.slates import Slates, join
from schemas.signals import ExposureRows, Kind, RewardRows

SLOTS, ITEMS = 3, 4


def cascade(n: int, rng: np.random.Generator, *, forget: bool = False) -> Slates:
    """Lists of a policy that prefers item 0, read from the top, under a uniform target.

    A slot is clicked with a probability of its item's own, and half of that if the slot above held a
    better item; ``forget`` logs the probabilities of the first slot for all slots.
    """
    items, ratio = np.zeros((n, SLOTS), int), np.zeros((n, SLOTS))
    left = np.ones((n, ITEMS), bool)
    strength = np.array([4.0, 2.0, 1.0, 1.0])
    for k in range(SLOTS):
        p = np.where(left, strength, 0)
        p /= p.sum(1, keepdims=True)
        items[:, k] = (rng.random(n)[:, None] > p.cumsum(1)).sum(1)
        logged = strength / strength.sum() if forget else p[np.arange(n), items[:, k], None]
        logged = logged[items[:, k]] if forget else logged[:, 0]
        ratio[:, k] = 1 / (ITEMS - k) / logged
        left[np.arange(n), items[:, k]] = False
    clicked = rng.random((n, SLOTS)) < rates(items)
    slate = np.repeat(np.arange(n), SLOTS)
    position = np.tile(np.arange(SLOTS), n)
    free = np.ones(n * SLOTS, bool)
    return Slates(slate, position, ratio.ravel(), clicked.ravel().astype(float), free)


def rates(items: np.ndarray) -> np.ndarray:
    own = np.array([0.4, 0.3, 0.2, 0.1])[items]
    own[:, 1:] *= np.where(items[:, :-1] < items[:, 1:], 0.5, 1.0)
    return own


def truth() -> float:
    rng = np.random.default_rng(0)
    items = rng.permuted(np.tile(np.arange(ITEMS), (400_000, 1)), axis=1)[:, :SLOTS]
    return float(rates(items).sum(1).mean())


def test_lists_are_valued_without_bias() -> None:
    """Both slate estimates lie within 4 standard errors of the truth (false alarm 1e-4)."""
    values = [(s.rips(), s.sn_rips()) for s in (cascade(2000, np.random.default_rng(i)) for i in range(30))]
    for estimates in zip(*values, strict=True):
        error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
        assert abs(np.mean(estimates) - truth()) < 4 * error + 2e-3


def test_the_check_has_teeth() -> None:
    """With probabilities that forget the slots above, the estimate is off by far more than that."""
    values = [cascade(2000, np.random.default_rng(i), forget=True).rips() for i in range(30)]
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values) - truth()) > 10 * error


def test_first_slots_pass_their_gates() -> None:
    """Enough effective events, no dominating weight, mean weight 1."""
    sums = cascade(4000, np.random.default_rng(1)).first_slot()
    assert [g.name for g in support_gates(sums, "uniform") if not g.passed] == []
    assert sums.snips(0.05).lower < 0.25 < sums.snips(0.05).upper


def rows(n: int, **columns: object) -> dict[str, np.ndarray]:
    empty = {"item": 0, "user": 1, "ts": 1, "offset": 1, "arm": 0, "epoch": 0, "propensity": 0.5}
    full = {**empty, "explored": 0, "pinned": 0, "p_control": 0.25, "p_uniform": 0.5, **columns}
    return {k: np.broadcast_to(np.asarray(v), n) for k, v in full.items()}


def exposures(**columns: object) -> ExposureRows:
    names = ExposureRows.__dataclass_fields__
    return ExposureRows(**{k: v for k, v in rows(4, **columns).items() if k in names})


def rewards(**columns: object) -> RewardRows:
    names = RewardRows.__dataclass_fields__
    given = {"amount": 1, "lag": 1, "inferred": 0, "first": 1, "reward": Kind.CLICK, **columns}
    return RewardRows(**{k: v for k, v in rows(3, **given).items() if k in names})


SHOWN = exposures(decision=np.array([9, 9, 5, 5], np.uint64), position=np.array([1, 0, 0, 1]))


def test_rewards_find_the_slot_that_they_name() -> None:
    """By decision and position; other kinds and inferred ones are left out."""
    brought = rewards(
        decision=np.array([9, 5, 77], np.uint64), position=np.array([1, 1, 0]), inferred=np.array([0, 1, 0])
    )
    slates = join(SHOWN, brought, kind=Kind.CLICK, target="control")
    assert slates.slate.tolist() == [0, 0, 1, 1]
    assert slates.position.tolist() == [0, 1, 0, 1]
    assert slates.reward.tolist() == [0, 0, 0, 1]
    assert slates.ratio.tolist() == [0.5] * 4
    assert join(SHOWN, brought, kind=Kind.PURCHASE, target="control").reward.sum() == 0


def test_pinned_slots_are_not_evaluated() -> None:
    """Their ratio is 1 and their reward nobody's merit."""
    shown = exposures(
        decision=np.array([9, 9, 5, 5], np.uint64),
        position=np.array([1, 0, 0, 1]),
        pinned=np.array([0, 1, 1, 0]),
    )
    slates = join(shown, rewards(decision=9, position=0), kind=Kind.CLICK, target="control")
    assert slates.ratio.tolist() == [1, 0.5, 1, 0.5]
    assert slates.rips() == 0
    assert slates.first_slot().n == 0


def test_weights_multiply_down_the_list() -> None:
    """Each list starts anew."""
    slates = join(SHOWN, rewards(decision=1, position=0), kind=Kind.CLICK, target="control")
    assert slates.weights() == pytest.approx([0.5, 0.25, 0.5, 0.25])
