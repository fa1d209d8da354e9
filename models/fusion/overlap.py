"""Agreement of ranked lists: extrapolated rank-biased overlap.

Webber, Moffat and Zobel 2010, "A similarity measure for indefinite rankings", equation 32 (lists of
uneven length): the overlap of the two prefixes of every depth ``d`` counts ``p ** d``, and what is below
the end of the lists is assumed to agree as much as what is seen.  1: the same list; 0: no common item.
"""

from typing import Final

import numpy as np

from models.jit import inner_kernel, kernel
from schemas.signals import Float32, Float64, Int32

DEPTH: Final = 10
"""Only the first items of each list are compared."""
PERSISTENCE: Final = 0.9
"""``p``: the first ten places carry 86 % of the weight."""


def overlaps(top: Int32, fused: Int32, party: Int32) -> Float32:
    """Mean overlap of each list with those of other parties, and of the fused list with all.

    Parameters
    ----------
    top
        Best first, padded with 0, no item twice, shape (n, lists, k).
    fused
        The fused list in the same form, shape (n, m).
    party
        Who each list comes from, shape (lists,): lists of one party are not compared.

    Returns
    -------
    ndarray
        Between 0 and 1, shape (n, lists + 1), the fused list last; NaN where a list is empty or there is
        none to compare it with.

    Examples
    --------
    >>> top = np.array([[[1, 2, 3], [1, 2, 3], [3, 4, 5], [0, 0, 0]]], np.int32)
    >>> overlaps(top, np.array([[1, 2, 3]], np.int32), np.array([0, 1, 2, 3], np.int32)).round(2)
    array([[0.64, 0.64, 0.27,  nan, 0.76]], dtype=float32)
    """
    n, lists = top.shape[:2]
    out = np.empty((n, lists + 1), np.float32)
    _overlaps(top, fused, party, PERSISTENCE ** np.arange(DEPTH + 1.0), out)
    return out


@kernel
def _overlaps(top: Int32, fused: Int32, party: Int32, weight: Float64, out: Float32) -> None:
    lists = top.shape[1]
    total, pairs, length = np.zeros(lists + 1), np.zeros(lists + 1), np.zeros(lists + 1, np.int32)
    for u in range(len(top)):
        for c in range(lists):
            length[c] = _length(top[u, c])
        length[lists] = _length(fused[u])
        total[:] = 0.0
        pairs[:] = 0.0
        for a in range(lists):
            if length[a] == 0:
                continue
            for b in range(a + 1, lists):
                if length[b] > 0 and party[a] != party[b]:
                    same = _extrapolated(top[u, a], top[u, b], length[a], length[b], weight)
                    total[a] += same
                    total[b] += same
                    pairs[a] += 1.0
                    pairs[b] += 1.0
            if length[lists] > 0:
                total[lists] += _extrapolated(top[u, a], fused[u], length[a], length[-1], weight)
                pairs[lists] += 1.0
        for c in range(lists + 1):
            out[u, c] = total[c] / pairs[c] if pairs[c] > 0.0 else np.nan


@inner_kernel
def _length(items: Int32) -> int:
    n = 0
    while n < min(len(items), DEPTH) and items[n] != 0:
        n += 1
    return n


@inner_kernel
def _extrapolated(a: Int32, b: Int32, len_a: int, len_b: int, weight: Float64) -> float:
    """Extrapolated overlap of two lists that are not empty; ``weight[d] = p ** d``."""
    shorter, longer = min(len_a, len_b), max(len_a, len_b)
    joined = np.zeros(DEPTH + 1, np.int32)  # pairs of equal items by the depth at which both are seen
    for i in range(len_a):
        for j in range(len_b):
            if a[i] == b[j]:
                joined[1 + max(i, j)] += 1
                break
    common, common_short, total = 0, 0, 0.0
    for d in range(1, longer + 1):
        common += joined[d]
        if d <= shorter:
            common_short = common
        agreement = common / d
        if d > shorter:
            agreement += common_short * (d - shorter) / (shorter * d)
        total += agreement * weight[d]
    end = (common - common_short) / longer + common_short / shorter
    return float((1.0 - weight[1]) / weight[1] * total + end * weight[longer])
