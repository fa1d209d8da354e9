"""Every probability of a logged decision, computed again from its logged context."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.policy.sampling import PIN, Pools, Script, draw
from schemas.errors import InvalidMessageError
from schemas.events import DecisionContext
from schemas.recommendations import RecommendedItem
from schemas.signals import Float32, Int32


class Propensities(NamedTuple):
    """Per slot, in the order of the list.

    Attributes
    ----------
    propensity, p_control, p_uniform
        As in ``RecommendedItem``.
    explored
        Whether greedy choice would have been another.
    """

    propensity: tuple[float, ...]
    p_control: tuple[float, ...]
    p_uniform: tuple[float, ...]
    explored: tuple[bool, ...]


def recompute(context: DecisionContext, chosen: Sequence[RecommendedItem]) -> Propensities:
    """The probabilities of a list, from what the sampler saw.

    The sampler's own kernel runs again with its choices forced, so that the result equals what was
    logged bit for bit; a difference means that the log or the policy is wrong.

    Parameters
    ----------
    context
        As logged with the decision.
    chosen
        The list; only ids and pins are read.

    Raises
    ------
    InvalidMessageError
        An item is not among the candidates, or the context does not fit together.
    """
    where = {item: i for i, item in enumerate(context.candidates)}
    forced = [PIN if item.pinned else where.get(item.item_id, len(where)) for item in chosen]
    if len(where) in forced:
        missing = chosen[forced.index(len(where))].item_id
        raise InvalidMessageError("$.context.candidates", missing, "every chosen item must be a candidate")
    pools = _pools(context)
    script = _script(context, np.array([forced], np.int32))
    drawn = draw(pools, script, np.zeros((0, 0), np.float32), _given(context, forced))
    return Propensities(
        tuple(drawn.propensity[0].tolist()),
        tuple(drawn.p_control[0].tolist()),
        tuple(drawn.p_uniform[0].tolist()),
        tuple(drawn.explored[0].astype(bool).tolist()),
    )


def _pools(context: DecisionContext) -> Pools:
    n = len(context.candidates)
    for name in ("utilities", "control", *(["groups"] if context.cap else [])):
        if len(getattr(context, name)) != n:
            raise InvalidMessageError(
                f"$.context.{name}", len(getattr(context, name)), f"expected {n} numbers"
            )
    return Pools(
        start=np.array([0, n], np.int32),
        slot=np.zeros(n, np.int32),
        utility=np.array(context.utilities, np.float64),
        control=np.array(context.control, np.float64),
        group=np.array(context.groups if context.cap else [0] * n, np.int32),
    )


def _script(context: DecisionContext, forced: Int32) -> Script:
    return Script(
        seed=np.array([context.seed], np.uint64),
        length=np.array([forced.shape[1]], np.int32),
        cap=np.array([context.cap], np.int32),
        forced=forced,
        pinned=np.zeros_like(forced),
        epsilon=np.array([context.epsilon]),
        temperature=np.array([context.temperature]),
        diversity=np.array([context.diversity]),
        control_epsilon=context.control_epsilon,
        control_temperature=context.control_temperature,
        keep=np.array([-1], np.int32),
    )


def _given(context: DecisionContext, forced: Sequence[int]) -> Float32 | None:
    if not context.similarity:
        return None
    shape = (1, len(forced), len(context.candidates))
    if len(context.similarity) != 4 * shape[1] * shape[2]:
        raise InvalidMessageError(
            "$.context.similarity", len(context.similarity), f"expected {4 * shape[1] * shape[2]} bytes"
        )
    return np.frombuffer(context.similarity, "<f4").reshape(shape).astype(np.float32)
