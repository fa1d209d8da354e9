"""Learning curves: how good lists are as the stream goes on."""

from typing import Final

import numpy as np

from models.evaluation.contest import FUSED
from models.evaluation.tally import Tally
from schemas.signals import Float64, Int64

POINTS: Final = 60
WINDOWS: Final = 12
"""The moving mean looks at so-many-th of all tests."""


def moving_mean(value: Float64, window: int, at: Int64) -> Float64:
    """Mean of the last ``window`` values (or as many as there are) up to and with each place of ``at``.

    Examples
    --------
    >>> moving_mean(np.array([1.0, 0.0, 0.0, 3.0]), 2, np.array([0, 1, 3])).tolist()
    [1.0, 0.5, 1.5]
    """
    total = np.concatenate([[0.0], np.cumsum(value)])
    first = np.maximum(at + 1 - window, 0)
    return np.asarray((total[at + 1] - total[first]) / (at + 1 - first))


def curves(tally: Tally, contestants: dict[str, str]) -> dict[str, list[float]]:
    """Moving NDCG@10 over the stream.

    Parameters
    ----------
    contestants
        Label to the contestant's name.

    Returns
    -------
    dict
        ``"event"``, the number of the event at each point, then each label's curve.
    """
    tests = len(tally)
    window = max(tests // WINDOWS, 1)
    at = np.unique(np.linspace(window - 1, tests - 1, min(POINTS, tests - window + 1)).astype(np.int64))
    found = {"event": np.array(tally.number)[at].astype(float).tolist()}
    for label, name in contestants.items():
        found[label] = moving_mean(tally.gains(name), window, at).tolist()
    return found


def usual(tally: Tally, components: tuple[str, ...], popularity: str | None) -> dict[str, str]:
    """The contestants of the usual picture: fused, the best single component, popularity."""
    best = tally.best(components)
    shown = {"fused": FUSED, f"best single ({best})": best}
    return shown | ({"popularity": popularity} if popularity and popularity != best else {})
