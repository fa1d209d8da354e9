"""Answers about items that nobody in particular asked for: what resembles one, and what is rising."""

import msgspec

from schemas.ids import ItemKey


class SimilarItem(msgspec.Struct, frozen=True):
    """One neighbour.

    Parameters
    ----------
    score
        The sum of ``parts``; only its order means something.
    parts
        What each kind of evidence adds: ``transitions`` (who comes with it in people's histories),
        ``factors``, ``content`` (texts).
    """

    item_id: ItemKey
    score: float
    parts: dict[str, float]


class SimilarItems(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbours of an item, best first.

    Parameters
    ----------
    model
        The state of the models that answered: how many rows they learned from.
    """

    item_id: ItemKey
    model: str
    items: tuple[SimilarItem, ...]


class TrendingItem(msgspec.Struct, frozen=True):
    """One rising item.

    Parameters
    ----------
    score
        Evidence: ``-log10`` of the bound on the probability of so much attention by chance.
    lift
        Recent attention over what the item usually gets.
    recent, usual
        Both in events, the newest counting most.
    """

    item_id: ItemKey
    score: float
    lift: float
    recent: float
    usual: float


class TrendingItems(msgspec.Struct, frozen=True, kw_only=True):
    """Rising items, the surest first; none while nothing rises beyond chance."""

    model: str
    items: tuple[TrendingItem, ...]
