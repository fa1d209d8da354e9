"""What the engine says of items by themselves: neighbours, trends, and names that come near a wrong one."""

import difflib
from collections.abc import Iterable
from typing import Final

import numpy as np

from models.components.content import Content
from models.components.factors import Factors
from models.components.popularity import HALF_LIVES, Popularity
from models.components.transitions import Transitions
from models.contexts import Contexts
from models.fusion.fusion import Fusion, Opinions
from models.interning import Interner
from models.scoring import SlotMaps
from models.similar import CLOSE, merge, nearest_factors
from models.trending import rising
from schemas.errors import InvalidMessageError
from schemas.related import SimilarItem, TrendingItem
from schemas.signals import Int32, UInt8

MAX_K: Final = 200
DEPTH: Final = 100
"""Length of each list of neighbours before they are merged."""
KINDS: Final = (Transitions.name, Factors.name, Content.name)
COMPARED: Final = 2_000
"""Ids that a wrong one is compared with at most, letter by letter."""
COMPARABLE: Final = 100
"""Letters beyond which an id is not compared: it takes milliseconds each."""


def neighbours(
    opinions: Opinions,
    fusion: Fusion,
    factors: Int32,
    items: Interner,
    k: int,
) -> tuple[SimilarItem, ...]:
    """Neighbours of an item: lists for an imaginary person who had just this item, and its factors' list.

    Parameters
    ----------
    opinions
        Of that person alone.
    factors
        Universe slots of the nearest by factors, best first.
    """
    owners = [fusion.part_names[part] for part in fusion.column_part]
    top, values = opinions.top[0], opinions.values[0]
    lists = {kind: [top[c] for c, owner in enumerate(owners) if owner == kind] for kind in KINDS}
    lists[Content.name] = [
        top[c][values[c] > CLOSE] for c, owner in enumerate(owners) if owner == Content.name
    ]
    lists[Factors.name] = [factors]
    found = merge(list(lists.values()), k)
    names = items.ids_of(found.item.tolist())
    return tuple(
        SimilarItem(name, sum(parts), dict(zip(KINDS, parts, strict=True)))
        for name, parts in zip(names, found.parts.tolist(), strict=True)
    )


def by_factors(factors: Factors, popularity: Popularity, maps: SlotMaps, live: UInt8, slot: int) -> Int32:
    """Universe slots of the items whose factors are nearest to those of a universe slot."""
    known = min(len(factors.arena["q"]), len(popularity.count()), len(maps.item_of))
    allowed = live[maps.item_of[:known]]
    vectors, events = factors.arena["q"][:known], popularity.count()[:known]
    return maps.item_of[nearest_factors(vectors, events, allowed, int(maps.fold_of[slot]), DEPTH)]


def only_had(slot: int, now: int) -> Contexts:
    """A person of whom one thing is known: that they just had this item."""
    one, mine = np.array([0, 1], np.int32), np.array([slot], np.int32)
    return Contexts(
        user=np.zeros(1, np.uint64),
        now=np.array([now], np.int64),
        age=np.ones(1, np.int32),
        ctx_start=one,
        ctx_slot=mine,
        ctx_gap=np.zeros(1, np.float32),
        ctx_kind=np.ones(1, np.uint8),
        seen_start=one,
        seen_slot=mine,
    )


def trends(
    popularity: Popularity, maps: SlotMaps, live: UInt8, items: Interner, k: int
) -> tuple[TrendingItem, ...]:
    """Rising items, the surest first (``models/trending.py`` says how); delisted ones are left out."""
    known, general = min(len(popularity.count()), len(maps.item_of)), len(HALF_LIVES)
    with np.errstate(under="ignore"):
        mass = np.exp2(popularity.arena["key"][:known, :general] - popularity.offsets()[:general])
    found = rising(mass, np.array(HALF_LIVES), int(popularity.clock[0]))
    slots = maps.item_of[found.item]
    shown = np.flatnonzero(live[slots] == 1)[:k]
    return tuple(
        TrendingItem(name, evidence, recent / usual, recent, usual)
        for name, evidence, recent, usual in zip(
            items.ids_of(slots[shown].tolist()),
            found.evidence[shown].tolist(),
            found.recent[shown].tolist(),
            found.usual[shown].tolist(),
            strict=True,
        )
    )


def check_length(k: int) -> None:
    """Refuse lengths that no list has.

    Raises
    ------
    InvalidMessageError
        Below 1 or above 200.
    """
    if not 1 <= k <= MAX_K:
        raise InvalidMessageError("k", k, f"ask for 1 to {MAX_K} items")


def unknown(item: str, ids: Iterable[str]) -> InvalidMessageError:
    """What to say of an id that nobody has heard of.

    Examples
    --------
    >>> str(unknown("gren-tea", ["black-tea", "green-tea", "cup"]))
    "item: 'gren-tea': no such item; the nearest are green-tea"
    >>> str(unknown("tea", []))
    "item: 'tea': no such item is known, nor one of nearly that name"
    """
    pool = _plausible(item[:COMPARABLE], ids)
    if not pool:
        return InvalidMessageError("item", item, "no such item is known, nor one of nearly that name")
    near = difflib.get_close_matches(item[:COMPARABLE], pool, n=3, cutoff=0.5) or pool[:1]
    return InvalidMessageError("item", item, f"no such item; the nearest are {', '.join(near)}")


def _plausible(item: str, ids: Iterable[str]) -> list[str]:
    """Ids to compare: those that begin alike or are about as long first."""
    head, wanted = item[: min(max(len(item) // 2, 1), COMPARABLE // 2)], len(item)
    alike: list[str] = []
    rest: list[str] = []
    for known in ids:
        if len(known) > COMPARABLE:
            continue
        if known.startswith(head):
            alike.append(known)
        elif len(rest) < COMPARED and abs(len(known) - wanted) <= max(wanted // 2, 2):
            rest.append(known)
        if len(alike) == COMPARED:
            break
    return (alike + rest)[:COMPARED]
