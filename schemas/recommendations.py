"""Lists as consumers read them."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.ids import EventKey, ItemKey, Millis, UserKey

Probability = Annotated[float, Meta(gt=0, le=1)]


class Because(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A past item that spoke for a recommended one, and how much (in utility)."""

    item_id: ItemKey
    weight: float


class RecommendedItem(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One slot of a list.

    Parameters
    ----------
    score
        The utility that the sampler saw.
    propensity
        The exact probability with which this item was chosen for this slot, given the slots above.
        Float64, never rounded; 1 for a pinned item.
    parts
        Named contributions: one per component, plus ``boost``, ``exploration`` (the Thompson draw),
        ``novelty`` (the discount of popular items) and ``diversity`` (the penalty for likeness to the
        slots above).  Added left to right they give ``score`` bit for bit.
    explored
        True when the item is not the one that greedy choice would have put here.
    p_control, p_uniform
        What the control and the uniform policy would have given to this choice.
    """

    item_id: ItemKey
    position: int
    score: float
    propensity: Probability
    parts: dict[str, float]
    explored: bool = False
    pinned: bool = False
    because: tuple[Because, ...] = ()
    p_control: float = 0.0
    p_uniform: float = 0.0


class Timings(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Where the time went; ms since the epoch for ``event``, ms of duration for the rest."""

    event: Millis = 0
    waited_ms: float = 0.0
    scored_ms: float = 0.0


class Recommendation(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One list for one person.

    Parameters
    ----------
    decision_id
        Unique per draw; rewards name it.
    trigger_id
        The ``event_id`` or ``request_id`` that this list answers.
    arm
        ``"treatment"`` or ``"holdout"``.
    policy, epoch
        Which policy served and its epoch; a guardrail switch raises the epoch.
    model
        Identifies the state of the models: how many signals rows they had learned from.
    rung
        Where on the degradation ladder the list was made (``schemas.ladder``); ``cause`` (of a closed set)
        and ``reason`` (in words) say why it is not ``"full"``.
    restricted
        It answers a request that said what may be listed (candidates, filters, a query), and stands for no
        other list: whoever keeps people's newest lists passes it over.
    without
        What overload left out of it: ``"explanations"``.
    unlogged
        Made by the API from its snapshot of popular items while the stream did not answer: it stands in no
        log, and nothing that names it enters off-policy evaluation.
    """

    decision_id: EventKey
    trigger_id: EventKey
    user_id: UserKey
    ts: Millis
    surface: str
    items: tuple[RecommendedItem, ...]
    arm: str
    policy: str
    epoch: int
    model: str
    rung: str = "full"
    reason: str | None = None
    timings: Timings = Timings()
    restricted: bool = False
    cause: str | None = None
    without: tuple[str, ...] = ()
    unlogged: bool = False
