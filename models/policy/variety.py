"""One dial between relevance and variety: how much likeness and popularity take from a utility.

Two things make lists dull: items that resemble each other, and items that everybody knows.  The first
is met by maximal marginal relevance (``models/policy/diversity.py``), the second by a discount in
proportion to log popularity (an item a hundred times as popular must be ``strength * log(100)`` more
useful).  Both grow in proportion to the dial, so that one number moves along one curve.
"""

from dataclasses import dataclass
from typing import Final

LIKENESS: Final = 6.0
POPULARITY: Final = 0.8


@dataclass(frozen=True, slots=True)
class Strengths:
    """What the dial drives.

    Attributes
    ----------
    likeness
        Lambda of maximal marginal relevance, utility per unit of similarity.
    popularity
        Utility per unit of ``log(1 + decayed count)``.
    """

    likeness: float
    popularity: float


def strengths(variety: float) -> Strengths:
    """Strengths at a dial between 0 (relevance alone) and 1.

    Examples
    --------
    >>> strengths(0.0)
    Strengths(likeness=0.0, popularity=0.0)
    """
    return Strengths(LIKENESS * variety, POPULARITY * variety)
