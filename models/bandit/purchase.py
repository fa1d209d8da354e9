"""What an item earns once it is looked at: conversion times order value, two posteriors.

Two-part Thompson sampling: a Beta posterior for *whether* an exposure ends in a purchase, an inverse
gamma posterior for the mean of *how much* is then paid (amounts taken as exponential).  On revenue it beats a
posterior for the conversion alone by a wide margin, because an item that rarely sells may sell for much.
"""

import numpy as np

from models.bandit.counts import Memory, RewardCounts
from schemas.signals import Float64, Int32, Kind

PURCHASE_MEMORY = Memory(half_life=30 * 24 * 3_600_000.0, delay=1_800_000.0, prior_mean=0.01)
VALUE_STRENGTH = 3.0
"""Purchases that the prior of an item's order value is worth, plus one (its mean must exist)."""


class PurchasePosterior(RewardCounts):
    """Beta posterior of the conversion, inverse gamma posterior of the mean order value, per item.

    Parameters
    ----------
    memory
        Purchases come half an hour after the list, on average, and count half after a month.
    """

    def __init__(self, memory: Memory = PURCHASE_MEMORY) -> None:
        super().__init__("purchase-posterior", Kind.PURCHASE, memory)

    def order_value(self) -> float:
        """The stream's mean order value; 1 before anything was sold."""
        return float(self.total[4] / self.total[3]) if self.total[3] > 0.0 else 1.0

    def value_posterior(self, slots: Int32) -> Float64:
        """Shape and scale of the inverse gamma posterior of mean order value, shape (n, 2)."""
        known = np.where(slots < self.rows, slots, 0)
        seen = self.arena["value"][known] if self.rows else np.zeros((len(slots), 2))
        prior = np.array([VALUE_STRENGTH, (VALUE_STRENGTH - 1.0) * self.order_value()])
        return np.asarray(prior + seen)
