"""Features of candidates: every component's scores on one scale within the request."""

import numpy as np

from models.jit import brief_kernel, inner_kernel
from schemas.signals import Float32, Int32

LOW, HIGH = -4.0, 6.0


@brief_kernel
def normalise(
    top: Int32, values: Float32, start: Int32, scores: Float32, out: Float32, first: int, width: int
) -> None:
    """Z-scores of a component's columns over each column's own top list, clipped to [-4, 6].

    Whole arrays and a range, as slices of them are of one type or of another to a compiled kernel, by their
    size, and each would be compiled when it comes.

    Parameters
    ----------
    top, values
        The lists (0-padded) and their scores, shape (n, all columns, k).
    start, scores
        Ragged scores of the candidates, shape (total, >= width).
    out
        Columns ``first`` to ``first + width`` are written, shape (total, >= all columns); 0 throughout where
        a column has no list for a person.
    """
    means, scales = np.empty(width), np.empty(width)
    for u in range(top.shape[0]):
        for c in range(width):
            means[c], scales[c] = _scale_of(top[u, first + c], values[u, first + c])
        for p in range(start[u], start[u + 1]):
            for c in range(width):
                z = (scores[p, c] - means[c]) * scales[c]
                out[p, first + c] = min(max(z, LOW), HIGH)


@inner_kernel
def _scale_of(top: Int32, values: Float32) -> tuple[float, float]:
    """Mean of a list's scores, and one over their spread; 0 where there is no list."""
    total = square = 0.0
    n = 0
    for r in range(len(top)):
        if top[r] == 0:
            break
        total += values[r]
        square += values[r] * values[r]
        n += 1
    mean = total / max(n, 1)
    spread = np.sqrt(max(square / max(n, 1) - mean * mean, 0.0))
    return mean, 0.0 if n == 0 else 1.0 / max(spread, 1e-4 * abs(mean) + 1e-9)
