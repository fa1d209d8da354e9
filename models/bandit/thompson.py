"""One draw of every candidate's reward: how policies explore what is not known yet.

Thompson 1933.  The draw enters the utility as context and is logged with it: given the draw, the
policy's probabilities are exact.
"""

from dataclasses import dataclass

import numpy as np

from models.bandit.click import ClickPosterior
from models.bandit.purchase import PurchasePosterior
from models.counter_random import mix, next_beta, next_gamma
from models.jit import kernel
from schemas.signals import Float64, Int32, UInt64


@dataclass(frozen=True, slots=True)
class Thompson:
    """Draws ``click + purchase_value · conversion · order value`` relative to a new item's expectation.

    Parameters
    ----------
    fold_of
        Universe slot to fold slot, 0 for unknown; what it is too short for is unknown.
    purchase_value
        How many clicks a purchase of the stream's mean order value is worth.
    ceiling
        A relative draw above it counts as it: no single draw may drown all other parts of a utility.
    """

    click: ClickPosterior
    purchase: PurchasePosterior
    fold_of: Int32
    purchase_value: float = 3.0
    ceiling: float = 3.0

    def draw(self, slots: Int32, list_start: Int32, seed: UInt64) -> Float64:
        """One draw per candidate, in [−1, ceiling]; 0: as good as a new item is expected to be.

        Parameters
        ----------
        slots
            Universe slots, ragged like ``list_start``, shape (total,).
        seed
            One per list; a candidate's draw depends on it, on the candidate's place and on its
            posteriors alone.
        """
        fold = self._fold(slots)
        out = np.empty(len(slots))
        value = self.purchase.value_posterior(fold)
        value[:, 1] /= self.purchase.order_value()
        _draw(
            list_start,
            seed,
            self.click.posterior(fold),
            self.purchase.posterior(fold),
            value,
            self.purchase_value,
            (self.expected(), self.ceiling),
            out,
        )
        return out

    def expected(self) -> float:
        """Reward that is expected of an item that was never shown, in clicks per examination."""
        a, b = self.click.prior()
        c, d = self.purchase.prior()
        return a / (a + b) + self.purchase_value * c / (c + d)

    def means(self, slots: Int32) -> Float64:
        """Posterior mean reward per examination of universe slots, in clicks, shape (n,)."""
        fold = self._fold(slots)
        click, bought = self.click.posterior(fold), self.purchase.posterior(fold)
        value = self.purchase.value_posterior(fold)
        order = value[:, 1] / (value[:, 0] - 1.0) / self.purchase.order_value()
        conversion = bought[:, 0] / bought.sum(axis=1)
        return np.asarray(click[:, 0] / click.sum(axis=1) + self.purchase_value * conversion * order)

    def _fold(self, slots: Int32) -> Int32:
        known = np.where(slots < len(self.fold_of), slots, 0)
        return self.fold_of[known] if len(self.fold_of) else np.zeros(len(slots), np.int32)


@kernel
def _draw(
    start: Int32,
    seed: UInt64,
    click: Float64,
    purchase: Float64,
    value: Float64,
    purchase_value: float,
    scale: tuple[float, float],
    out: Float64,
) -> None:
    expected, ceiling = scale
    stream = np.empty(1, np.uint64)
    for n in range(len(seed)):
        for row in range(start[n], start[n + 1]):
            stream[0] = mix(seed[n], (row - start[n]) + (1 << 20))  # the sampler has the counters below
            reward = next_beta(stream, click[row, 0], click[row, 1])
            if purchase_value > 0.0:
                conversion = next_beta(stream, purchase[row, 0], purchase[row, 1])
                order = value[row, 1] / max(next_gamma(stream, value[row, 0]), 1e-12)
                reward += purchase_value * conversion * order
            out[row] = min(reward / expected - 1.0, ceiling)
