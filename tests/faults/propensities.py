"""Probabilities of a logged decision, from the formula in ``models/policy/sampling.py``, in plain Python.

For the left candidates of a slot: ``p_i = (1 - e) exp(s_i / T) / sum_j exp(s_j / T) + e / M``, with ``s_i``
the utility less ``L`` times the largest similarity to an item above.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from schemas.events import DecisionContext
from schemas.recommendations import RecommendedItem

TOLERANCE = 1e-9


def softmax_of(
    scores: Sequence[float], left: Sequence[int], i: int, epsilon: float, temperature: float
) -> float:
    """Probability of candidate ``i`` among those that are left."""
    best = max(scores[j] for j in left)
    weights = {j: math.exp((scores[j] - best) / temperature) for j in left}
    return (1 - epsilon) * weights[i] / math.fsum(weights.values()) + epsilon / len(left)


def probabilities(
    context: DecisionContext, items: Sequence[RecommendedItem]
) -> Iterator[tuple[float, float, float]]:
    """Of each item in its slot: by the policy that served, the control and the uniform policy.

    For deployments without pins and caps per group.
    """
    place = {item: i for i, item in enumerate(context.candidates)}
    alike = np.frombuffer(context.similarity, "<f4").reshape(-1, len(place))
    left = list(range(len(place)))
    for slot, item in enumerate(items):
        i = place[item.item_id]
        penalty = alike[:slot].max(axis=0, initial=0.0) if len(alike) else np.zeros(len(place))
        scores = [u - context.diversity * float(p) for u, p in zip(context.utilities, penalty, strict=True)]
        yield (
            softmax_of(scores, left, i, context.epsilon, context.temperature),
            softmax_of(context.control, left, i, context.control_epsilon, context.control_temperature),
            1 / len(left),
        )
        left.remove(i)


def differ(context: DecisionContext, items: Sequence[RecommendedItem]) -> bool:
    """Whether what was logged is not what the logged context gives, to nine digits."""
    logged = [(i.propensity, i.p_control, i.p_uniform) for i in items]
    if len({i.item_id for i in items}) < len(items):
        return True
    again = list(probabilities(context, items))
    return not all(
        math.isclose(a, b, rel_tol=TOLERANCE)
        for one, other in zip(logged, again, strict=True)
        for a, b in zip(one, other, strict=True)
    )
