"""Sample ratio mismatch: does traffic split as configured?  A sequential Dirichlet-multinomial test.

An e-process like the others (Lindon and Malek, 2020): it may be looked at after every person.  A daily
chi-squared test at 5 % instead cries wolf in about half of all healthy experiments.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

CONCENTRATION = 1000.0


def log_e_split(
    counts: Sequence[float] | npt.NDArray[np.float64],
    shares: Sequence[float],
    concentration: float = CONCENTRATION,
) -> npt.NDArray[np.float64]:
    """Log e-value against "persons fall into arms by these shares".

    Parameters
    ----------
    counts
        Persons per arm, last axis; further axes are independent experiments or looks.
    shares
        Configured share of each arm; they sum to 1.
    concentration
        Of the Dirichlet mixture around ``shares``: larger looks for smaller deviations.

    Returns
    -------
    array
        Shape of ``counts`` without its last axis.

    Raises
    ------
    ValueError
        If shares are not positive or do not sum to 1.

    Examples
    --------
    >>> round(float(log_e_split([9200, 800], [0.9, 0.1])), 4)
    20.2937
    """
    n, p = np.asarray(counts, np.float64), np.asarray(shares, np.float64)
    if p.min(initial=1.0) <= 0 or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"shares must be positive and sum to 1, got {list(shares)}")
    alpha = concentration * p
    total = n.sum(axis=-1)
    mixture = gammaln(concentration) - gammaln(concentration + total)
    mixture = mixture + (gammaln(alpha + n) - gammaln(alpha)).sum(axis=-1)
    result: npt.NDArray[np.float64] = mixture - (n * np.log(p)).sum(axis=-1)
    return result
