"""Opinions of all components about one batch of people, on one scale and in one place."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.components.base import Component, Queries
from models.components.content import Content
from models.components.popularity import Popularity
from models.fusion.ablation import kept
from models.fusion.candidates import Union, given, union
from models.fusion.features import normalise
from models.fusion.head import GAP, MATURITY
from models.fusion.ranking import crosses
from schemas.signals import Float32, Float64, Int32, UInt8

SAMPLED: Final = "sampled"
CROSSES: Final = ("new", "new_share", "new_content", "new_last", SAMPLED)
"""Of items without an event: a constant, the log odds that one of them comes, the content's two scores.

``sampled`` is set in probes alone: the logarithm of how many candidates a sampled one stands for.
"""
FIXED: Final = (SAMPLED,)
"""Features whose weight is not learned."""
NOVELTY_SCALE: Final = 4.0
NEW: Final = -2.0
"""Utility of an item without an event before the first probe, beside its ``new_share``."""


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """What the head and rank fusion see.

    Attributes
    ----------
    top, values
        Each column's list in universe slots (0-padded) and its scores, shape (n, columns, k).
    union
        Candidates in universe slots.
    features
        Shape (total, len(feature_names)).
    maturity, gap
        Gate buckets, shape (n,).
    """

    top: Int32
    values: Float32
    union: Union
    features: Float32
    maturity: UInt8
    gap: UInt8


class Fusion:
    """Asks every component, merges their lists and puts their scores side by side.

    Parameters
    ----------
    popularity, others
        Folds with opinions, in fold slots; the first one also knows which items are new.
    content
        The component that works in universe slots.
    without
        Names of components, columns or features that neither propose nor count.
    """

    def __init__(
        self,
        popularity: Popularity,
        others: tuple[Component, ...],
        content: Content,
        without: tuple[str, ...] = (),
    ) -> None:
        components = (popularity, *others)
        self.popularity = popularity
        self.components = components
        self.content = content
        parties: tuple[Component | Content, ...] = (*components, content)
        columns = tuple(c for p in parties for c in p.columns)
        self.every = (*columns, *(e for p in parties for e in p.extras), *CROSSES)
        self.proposed = len(columns)
        owners = [p.name for p in parties for _ in p.columns]
        owners += [p.name for p in parties for _ in p.extras] + ["content"] * len(CROSSES)
        self.part_names = tuple(p.name for p in parties)
        self.kept = kept(self.every, owners, self.proposed, without)
        self.feature_names = tuple(self.every[f] for f in self.kept)
        self.columns = tuple(self.every[f] for f in self.kept if f < self.proposed)
        self.part_of = np.array([self.part_names.index(owners[f]) for f in self.kept], np.int32)
        self.column_part = self.part_of[: len(self.columns)]

    def prior(self, weight: float) -> Float64:
        """Weights before the first probe: the same for every score of a component, mostly 0 for the rest."""
        special = {"new": NEW, SAMPLED: 1.0}
        others = [special.get(name, 0.0) for name in self.feature_names[len(self.columns) :]]
        return np.array([*[weight] * len(self.columns), *others])

    def opinions(
        self,
        fold: Queries,
        universe: Queries,
        maps: tuple[Int32, Int32],
        k: int,
        only: Union | None = None,
    ) -> Opinions:
        """Ask for a batch.

        Parameters
        ----------
        fold, universe
            The same people in fold slots and in universe slots.
        maps
            Universe slot of each fold slot, and fold slot of each universe slot.
        k
            Length of each component's list.
        only
            Score these candidates instead of the union of the lists.
        """
        item_of, fold_of = maps
        lists = [c.candidates(fold, k) for c in self.components]
        own_top, own_values = self.content.candidates(universe, k)
        top = np.concatenate([*(item_of[t] for t, _ in lists), own_top], axis=1)
        values = np.concatenate([*(v for _, v in lists), own_values], axis=1)
        every = top, values
        if len(self.kept) < len(self.every):
            columns = self.kept[: len(self.columns)]
            top, values = np.ascontiguousarray(top[:, columns]), values[:, columns]
        merged = union(top, universe.n_items) if only is None else given(top, only, universe.n_items)
        features = self._features(fold, universe, fold_of, every, merged)
        if len(self.kept) < len(self.every):
            features = np.ascontiguousarray(features[:, self.kept])
        gap = np.full(len(fold), np.inf, np.float32)
        some = universe.start[1:] > universe.start[:-1]
        gap[some] = universe.gap[universe.start[:-1][some]]
        return Opinions(
            top=top,
            values=values,
            union=merged,
            features=features,
            maturity=np.searchsorted(MATURITY, universe.age, side="right").astype(np.uint8),
            gap=np.searchsorted(GAP, gap, side="right").astype(np.uint8),
        )

    def _features(
        self, fold: Queries, universe: Queries, fold_of: Int32, lists: tuple[Int32, Float32], merged: Union
    ) -> Float32:
        features = np.empty((len(merged.item), len(self.every)), np.float32)
        slots = fold_of[merged.item]
        column, extra = 0, self.proposed
        parties: tuple[Component | Content, ...] = (*self.components, self.content)
        for party in parties:
            if isinstance(party, Content):
                scores = party.scores(universe, merged.start, merged.item)
            else:
                scores = party.scores(fold, merged.start, slots)
            width = len(party.columns)
            normalise(*lists, merged.start, scores, features, column, width)
            column += width
            features[:, extra : extra + scores.shape[1] - width] = scores[:, width:]
            extra += scores.shape[1] - width
        content = self.proposed - 1, extra - 1
        novelty = self.popularity.novelty(universe.n_items) / NOVELTY_SCALE
        crosses(slots, self.popularity.count(), features, content, extra, novelty)
        return features
