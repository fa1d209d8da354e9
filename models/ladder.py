"""Lists of the lower rungs: what can still be drawn when time, models or vectors are missing.

All of them go through the same sampler as full ones, so their probabilities are exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np

from models.catalogue import Catalogue
from models.components.popularity import COLUMNS, Popularity
from models.interning import Interner
from models.policy.safe import SafePopularity
from models.policy.view import PolicyView
from models.requests import ListRequest
from schemas.events import Decision
from schemas.ladder import Cause, Rung
from schemas.popular import SEGMENTS, PopularItem, PopularLists
from schemas.signals import Arm, Float64, Int32, UInt8

Stock = tuple[Int32, Float64]
"""Universe slots of candidates for everyone and their utility, best first."""


class Way(NamedTuple):
    """How a list is made, and on which rung that is."""

    scores: str
    rung: Rung


FULL = Way("all", Rung.FULL)
SAFE = Way("safe", Rung.FULL)
"""The holdout's lists, and everybody's after a rollback: popularity by order, not for want of anything."""
SEGMENT = Way("segment", Rung.SEGMENT)
GLOBAL = Way("safe", Rung.GLOBAL)
OPENING = Way("opening", Rung.GLOBAL)
GIVEN = Way("given", Rung.GLOBAL)


def way_of(rung: Rung, arm: Arm, *, safe: bool, restricted: bool) -> Way:
    """How to make a list of at most this rung.

    Parameters
    ----------
    safe
        Whether the policy in force serves this arm by the safe policy.
    restricted
        Whether the request says what may be listed.

    Examples
    --------
    >>> way_of(Rung.SEGMENT, Arm.TREATMENT, safe=False, restricted=False).rung.value
    'segment-popular'
    >>> way_of(Rung.SEGMENT, Arm.HOLDOUT, safe=True, restricted=False).rung.value
    'full'
    """
    if restricted:
        return FULL if rung is Rung.FULL else GIVEN
    if rung is Rung.GLOBAL and arm is Arm.TREATMENT:
        return GLOBAL
    if safe:
        return SAFE
    return FULL if rung is Rung.FULL else SEGMENT


def missing(way: Way, rung: Rung, cause: Cause | None) -> Cause | None:
    """What a list names as missing that is made in a way, where ``cause`` made this the best rung.

    Examples
    --------
    >>> missing(SEGMENT, Rung.SEGMENT, Cause.OVERLOAD).value, missing(OPENING, Rung.FULL, None).value
    ('overload', 'opening')
    >>> missing(SAFE, Rung.SEGMENT, Cause.OVERLOAD)
    """
    told = None if Rung.FULL in (way.rung, rung) else cause
    return Cause.OPENING if told is None and way is OPENING else told


def plain(view: PolicyView) -> PolicyView:
    """The same policy without what costs time and needs vectors or posteriors: variety and Thompson draws."""
    return replace(view, settings=msgspec.structs.replace(view.settings, variety=0.0, thompson=0.0))


def short(
    requests: Sequence[ListRequest], decisions: Sequence[Decision], pool: int, *, met: int = 0
) -> list[int]:
    """Whose lists hold less than was asked for, than the pool holds, and than was met at all.

    Nobody's whose request says what may be listed.
    """
    return [
        n
        for n, (request, decision) in enumerate(zip(requests, decisions, strict=True))
        if max(met, len(decision.recommendation.items)) < min(request.k, pool) and not request.restricted
    ]


def opening(catalogue: Catalogue, met: Int32, utility: Float64, length: int) -> Stock | None:
    """Candidates of a shop that opens: what was met so far, best first, then the newest of the catalogue.

    Parameters
    ----------
    met, utility
        Universe slots of the items that events named, and how popular they are, shape (m,).
    length
        Of the newest, at most so many.

    Returns
    -------
    Universe slots and their utility, that of the newest 0 as of all that nobody has touched; None where
    the catalogue knows no others.
    """
    newest = catalogue.newest(length)
    newest = newest[~np.isin(newest, met)]
    order = np.argsort(-utility, kind="stable")
    order = order[catalogue.live()[met[order]] == 1]
    slots = np.concatenate([met[order], newest])
    return (slots, np.concatenate([utility[order], np.zeros(len(newest))])) if len(newest) else None


def popular_lists(
    popularity: Popularity,
    safe: SafePopularity,
    ids: Interner,
    listed: UInt8,
    *,
    now: int,
    model: str,
    length: int,
) -> PopularLists:
    """What is popular with everybody and in each segment, best first.

    Parameters
    ----------
    ids
        Of fold slots.
    listed
        1 where an item may be listed, by fold slot.
    """

    def named(folds: Int32, scores: Float64) -> tuple[PopularItem, ...]:
        kept = listed[folds] == 1
        return tuple(
            PopularItem(ids.id_of(slot), float(score))
            for slot, score in zip(folds[kept][:length].tolist(), scores[kept][:length], strict=True)
        )

    best = safe.candidates(2 * length)
    offsets = popularity.offsets()
    segments = {}
    for here, name in enumerate(SEGMENTS):
        n = COLUMNS - 1 + here
        folds = popularity.top[n, : popularity.filled[n]][: 2 * length]
        masses = popularity.arena["key"][folds, n] - offsets[n] if len(folds) else np.zeros(0)
        segments[name] = named(folds, np.log1p(2.0**masses))
    return PopularLists(ts=now, model=model, everybody=named(best, safe.utility(best)), segments=segments)


def known(lists: PopularLists, slots_of: Callable[[Sequence[str]], Int32]) -> tuple[Int32, Float64]:
    """Universe slots and utilities of everybody's popular items, best first."""
    slots = slots_of([item.item_id for item in lists.everybody])
    return slots, np.array([item.score for item in lists.everybody])
