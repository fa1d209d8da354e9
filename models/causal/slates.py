"""Lists as logged, joined with what they brought, and their value under another policy."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.causal.ope import WeightSums
from schemas.signals import Arm, ExposureRows, Float64, Int64, Kind, RewardRows, UInt64

Target = Literal["control", "uniform"]

_SLOTS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Slates:
    """Slots of logged lists, list by list, each from the top.

    Attributes
    ----------
    slate
        Index of the list, non-decreasing, shape (n,).
    position
        0-based slot.
    ratio
        Target probability of the slot's item over the logged one, given the slots above; 1 if pinned.
    reward
        1 where the slot brought a reward that named its decision, else 0.
    free
        False for pinned slots: they were not decided, so they are not evaluated.
    """

    slate: Int64
    position: Int64
    ratio: Float64
    reward: Float64
    free: npt.NDArray[np.bool_]

    def first_slot(self) -> WeightSums:
        """Sums for the first slot of each list: one factor, so the largest effective sample."""
        top = (self.position == 0) & self.free
        return WeightSums.of(self.ratio[top], self.reward[top])

    def weights(self) -> Float64:
        """Product of the ratios from the top down to each slot."""
        log = np.cumsum(np.log(np.maximum(self.ratio, np.finfo(np.float64).tiny)))
        starts = np.flatnonzero(np.diff(self.slate, prepend=-1))
        before = np.concatenate([[0.0], log])[starts]
        lengths = np.diff(np.append(starts, len(log)))
        return np.asarray(np.exp(log - np.repeat(before, lengths)))

    def rips(self) -> float:
        """Reward-interaction estimate of rewards per list."""
        lists = len(np.unique(self.slate))
        return float((self.weights() * self.reward)[self.free].sum() / lists) if lists else 0.0

    def sn_rips(self) -> float:
        """The same, with the weights of each slot normalised by their sum: the figure to publish."""
        w = self.weights()
        earned = np.bincount(self.position[self.free], (w * self.reward)[self.free])
        weight = np.bincount(self.position[self.free], w[self.free])
        shown = np.bincount(self.position[self.free])
        lists = len(np.unique(self.slate))
        used = weight > 0
        return float((earned[used] / weight[used] * shown[used]).sum() / lists) if lists else 0.0


def join(
    exposures: ExposureRows,
    rewards: RewardRows,
    *,
    kind: Kind,
    target: Target,
    arm: Arm = Arm.TREATMENT,
) -> Slates:
    """Lists of one arm with the rewards of one kind that named them.

    Rewards that were joined by inference are left out: who showed the item got them, whoever decided.

    Examples
    --------
    >>> join(ExposureRows.empty(), RewardRows.empty(), kind=Kind.CLICK, target="uniform").sn_rips()
    0.0
    """
    mine = np.flatnonzero(exposures.arm == arm)
    decisions, index = np.unique(exposures.decision[mine], return_inverse=True)
    order = np.lexsort((exposures.position[mine], index))
    rows, slate = mine[order], index[order].astype(np.int64)
    position = exposures.position[rows].astype(np.int64)
    free = exposures.pinned[rows] == 0
    probability = exposures.p_control if target == "control" else exposures.p_uniform
    ratio = np.where(free, probability[rows] / exposures.propensity[rows], 1.0)
    rewarded = _slots_rewarded(rewards, kind, decisions)
    hit = np.isin(slate * _SLOTS + position, rewarded)
    return Slates(slate, position, ratio, hit.astype(np.float64), free)


def _slots_rewarded(rewards: RewardRows, kind: Kind, decisions: UInt64) -> Int64:
    named = np.flatnonzero((rewards.reward == kind) & (rewards.inferred == 0) & (rewards.decision != 0))
    if not len(decisions) or not len(named):
        return np.zeros(0, np.int64)
    place = np.minimum(np.searchsorted(decisions, rewards.decision[named]), len(decisions) - 1)
    known = decisions[place] == rewards.decision[named]
    slots: Int64 = place[known].astype(np.int64) * _SLOTS + rewards.position[named][known].astype(np.int64)
    return slots
