"""A log of an experiment whose effect is known: the ground truth for tests and benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.fold import Mask, take
from schemas.signals import Arm, Cover, ExposureRows, Float64, Int64, Kind, RewardRows, SignalBlock, UInt64

_STEP = 3
"""Events of a person: the decision, perhaps a click, perhaps a purchase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """How people of both arms behave, each rate as (treatment, holdout).

    Parameters
    ----------
    click, purchase
        Probability that a person ever clicks, or buys.
    holdout
        Share of the holdout as people really fall into it.
    slots
        Length of a list.
    """

    click: tuple[float, float] = (0.05, 0.05)
    purchase: tuple[float, float] = (0.01, 0.01)
    holdout: float = 0.1
    slots: int = 5


def experiment(
    truth: Truth,
    persons: int,
    rng: np.random.Generator,
    *,
    partition: int = 0,
    epoch: int = 0,
    per_block: int = 500,
    first: int = 0,
) -> Iterator[SignalBlock]:
    """Blocks of ``persons`` people who each see one list and then do or do not act.

    Parameters
    ----------
    first
        How many people of the partition came before: blocks of a second call follow those of a first.

    Examples
    --------
    >>> blocks = list(experiment(Truth(), 1000, np.random.default_rng(1)))
    >>> len(blocks), len(blocks[0].exposures), blocks[1].cover.after == blocks[0].cover.to
    (2, 2500, True)
    """
    for start in range(first, first + persons, per_block):
        n = min(per_block, first + persons - start)
        yield _block(truth, np.arange(start, start + n), rng, partition, epoch)


def _block(truth: Truth, who: Int64, rng: np.random.Generator, partition: int, epoch: int) -> SignalBlock:
    n, slots = len(who), truth.slots
    users = rng.integers(0, 2**64, n, np.uint64)
    held = rng.random(n) < truth.holdout
    offset = who.astype(np.int64) * _STEP
    rows = np.repeat(np.arange(n), slots)
    exposures = ExposureRows(
        item=np.zeros(n * slots, np.int32),
        user=users[rows],
        ts=_time(offset)[rows],
        offset=offset[rows],
        decision=users[rows],
        position=np.tile(np.arange(slots, dtype=np.uint8), n),
        propensity=_propensities(n * slots, rng),
        p_control=np.full(n * slots, 0.5),
        p_uniform=np.full(n * slots, 0.5),
        arm=held.astype(np.uint8)[rows],
        epoch=np.full(n * slots, epoch, np.int32),
        explored=np.zeros(n * slots, np.uint8),
        pinned=np.zeros(n * slots, np.uint8),
    )
    rewards = _rewards(truth, users, held, offset, rng, epoch)
    to = int(offset[-1]) + _STEP - 1
    cover = Cover(partition=partition, incarnation=0, after=int(offset[0]) - 1, to=to)
    return SignalBlock(cover=cover, items=("item",), exposures=exposures, rewards=rewards)


def _propensities(n: int, rng: np.random.Generator) -> Float64:
    """Of the one of two items that a policy of random strength chose."""
    first = rng.uniform(0.05, 0.95, n)
    return np.where(rng.random(n) < first, first, 1 - first)


def _time(offset: Int64) -> Int64:
    return 1_700_000_000_000 + offset * 10


def _rewards(
    truth: Truth, users: UInt64, held: Mask, offset: Int64, rng: np.random.Generator, epoch: int
) -> RewardRows:
    n = len(users)
    rates = np.array([truth.click, truth.purchase])
    hit = rng.random((n, 2)) < rates[:, held.astype(np.int64)].T
    at = (offset[:, None] + np.array([1, 2])).ravel()
    both = np.repeat(np.arange(n), 2)
    rows = RewardRows(
        item=np.zeros(2 * n, np.int32),
        user=users[both],
        ts=_time(at),
        offset=at,
        decision=users[both],
        position=np.zeros(2 * n, np.uint8),
        propensity=np.ones(2 * n),
        reward=np.tile(np.array([Kind.CLICK, Kind.PURCHASE], np.uint8), n),
        amount=np.ones(2 * n, np.float32),
        lag=np.ones(2 * n, np.float32),
        inferred=np.zeros(2 * n, np.uint8),
        arm=np.where(held, Arm.HOLDOUT, Arm.TREATMENT).astype(np.uint8)[both],
        first=np.ones(2 * n, np.uint8),
        epoch=np.full(2 * n, epoch, np.int32),
    )
    return take(rows, hit.ravel())
