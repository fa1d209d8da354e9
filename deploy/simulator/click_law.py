"""The law by which simulated households click: position-biased, and anchored in real purchases.

The position-based model (Richardson, Dominowska and Ragno 2007; Craswell et al. 2008): a household
looks at slot ``j`` with a probability that falls with ``j``, and clicks what it looks at with a
probability that depends on how the item relates to what the household really bought afterwards.

::

    P(click at j) = f(arm) * attraction[relevance] * (1 + j) ** -eta

All of it is known, so the true expectation of every list shown, and hence the true effect of the
recommender against its control, is known too (``expected``).  docs/demo.md states it in words.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from schemas.errors import InvalidMessageError

Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Bool = npt.NDArray[np.bool_]


class Relevance(IntEnum):
    """How an item relates to what the household really bought in the following weeks."""

    NONE = 0
    TYPE = 1
    PRODUCT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickLaw:
    """Parameters of the law.

    Parameters
    ----------
    none, kind, product
        Probability that an item that is looked at is clicked: unrelated, of a product type that the
        household bought in the horizon, the very product.
    eta
        Position bias: slot ``j`` (from 0) is looked at with probability ``(1 + j) ** -eta``.
    treatment_factor
        Multiplies every click probability of treatment lists, and nothing else: an effect injected
        on purpose.  1 injects none; below 1 the recommender harms, and the guardrail should notice.
    impulse
        Probability that a click leads to an additional purchase at once: the only way in which lists
        cause purchases.

    Raises
    ------
    InvalidMessageError
        If a probability leaves [0, 1] or ``eta`` is negative.

    Examples
    --------
    >>> law = ClickLaw()
    >>> law.probabilities(np.array([0, 1, 2], np.int8), "holdout").round(4)
    array([0.01  , 0.1414, 0.2309])
    """

    none: float = 0.01
    kind: float = 0.20
    product: float = 0.40
    eta: float = 0.5
    treatment_factor: float = 1.0
    impulse: float = 0.10

    def __post_init__(self) -> None:
        for name in ("none", "kind", "product", "impulse"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise InvalidMessageError(f"click_law.{name}", value, "give a probability from 0 to 1")
        if not self.eta >= 0.0:
            raise InvalidMessageError("click_law.eta", self.eta, "give a number of at least 0")
        if not 0.0 <= self.treatment_factor * max(self.none, self.kind, self.product) <= 1.0:
            raise InvalidMessageError(
                "click_law.treatment_factor", self.treatment_factor, "keep every click probability in [0, 1]"
            )

    def looks(self, length: int) -> Float64:
        """Probability that each slot is looked at, shape (length,)."""
        return np.arange(1, length + 1, dtype=np.float64) ** -self.eta

    def attractions(self, relevance: Int8, arm: str) -> Float64:
        """Probability of a click on each item that is looked at, shape (k,)."""
        factor = self.treatment_factor if arm == "treatment" else 1.0
        return factor * np.array([self.none, self.kind, self.product])[relevance]

    def probabilities(self, relevance: Int8, arm: str) -> Float64:
        """Probability of a click on each slot of a list, shape (k,)."""
        return self.looks(len(relevance)) * self.attractions(relevance, arm)

    def expected(self, relevance: Int8, arm: str) -> float:
        """The true expectation of the number of clicks on a list."""
        return float(self.probabilities(relevance, arm).sum())

    def behave(self, relevance: Int8, arm: str, rng: np.random.Generator) -> tuple[Bool, Bool, Bool]:
        """What a household does with one list.

        The draws do not depend on the list: under one generator state, what one list gets clicked for
        and what another one would have got differ only by their items (common random numbers).

        Returns
        -------
        tuple
            Looked at, clicked, bought at once; each of shape (k,).
        """
        draws = rng.random((3, len(relevance)))
        looked = draws[0] < self.looks(len(relevance))
        clicked = looked & (draws[1] < self.attractions(relevance, arm))
        return looked, clicked, clicked & (draws[2] < self.impulse)
