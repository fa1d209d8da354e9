"""Features of candidates: every component's scores on one scale within the request."""

import numpy as np

from models.jit import brief_kernel
from schemas.signals import Float32, Int32

LOW, HIGH = -4.0, 6.0


def normalise(top: Int32, values: Float32, start: Int32, scores: Float32, out: Float32) -> None:
    """Z-scores of each column over the column's own top list, clipped to [-4, 6].

    Parameters
    ----------
    top, values
        The lists (0-padded) and their scores, shape (n, columns, k).
    start, scores
        Ragged scores of the candidates, shape (total, >= columns).
    out
        Written, shape (total, columns); 0 throughout where a column has no list for a person.
    """
    _normalise(top, values, start, scores, out)


@brief_kernel
def _normalise(top: Int32, values: Float32, start: Int32, scores: Float32, out: Float32) -> None:
    for u in range(top.shape[0]):
        for c in range(top.shape[1]):
            total = square = 0.0
            n = 0
            for r in range(top.shape[2]):
                if top[u, c, r] == 0:
                    break
                total += values[u, c, r]
                square += values[u, c, r] * values[u, c, r]
                n += 1
            mean = total / max(n, 1)
            spread = np.sqrt(max(square / max(n, 1) - mean * mean, 0.0))
            scale = 0.0 if n == 0 else 1.0 / max(spread, 1e-4 * abs(mean) + 1e-9)
            for p in range(start[u], start[u + 1]):
                z = (scores[p, c] - mean) * scale
                out[p, c] = min(max(z, LOW), HIGH)
