"""Scoring of batches: contexts in, ranked candidates or probe rows out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.components.base import DEAD, Marks, Queries
from models.contexts import Contexts
from models.fusion.candidates import Union, ranks_of
from models.fusion.fusion import Fusion, Opinions
from models.fusion.head import Head
from models.fusion.overlap import DEPTH, overlaps
from models.fusion.ranking import best, rank_in, split, split_ranks, total
from models.fusion.scored import ScoredLists
from models.policy.safe import SafePopularity
from schemas.signals import Float32, Float64, Int16, Int32, UInt8

Bool = npt.NDArray[np.bool_]

MIN_PROBES = 20
"""Rank fusion stands in for the head until it has learned from this many probes."""


class SlotMaps:
    """Universe slot of each fold slot and back, with the marks that keep items from being listed."""

    def __init__(self) -> None:
        self.item_of = np.zeros(64, np.int32)
        self.fold_of = np.zeros(64, np.int32)
        self.fold_marks = Marks()
        self.universe_marks = Marks()

    def reserve(self, n_fold: int, n_universe: int) -> None:
        """Room for both kinds of slots."""
        self.item_of = _longer(self.item_of, n_fold)
        self.fold_of = _longer(self.fold_of, n_universe)
        self.fold_marks.reserve(n_fold)
        self.universe_marks.reserve(n_universe)

    def join(self, fold_slot: int, slot: int) -> None:
        """One item's two slots."""
        self.item_of[fold_slot] = slot
        self.fold_of[slot] = fold_slot
        if self.universe_marks.stamp[slot] == DEAD:
            self.fold_marks.stamp[fold_slot] = DEAD

    def part(self) -> None:
        """Forget all fold slots: they mean other items from now on."""
        self.item_of[:] = 0
        self.fold_of[:] = 0
        self.fold_marks = Marks()

    def set_live(self, slots: Int32, live: UInt8) -> None:
        """Mark items as listable or not."""
        stamp = np.where(live == 1, 0, DEAD).astype(np.int32)
        self.universe_marks.stamp[slots] = stamp
        folds = self.fold_of[slots]
        self.fold_marks.stamp[folds[folds > 0]] = stamp[folds > 0]


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """What a probe row needs beside its identity; item columns hold universe slots."""

    target: Int32
    opinions: Opinions
    ranks: Int16
    overlap: Float32


class Scorer:
    """Turns contexts into ranked candidates.

    Parameters
    ----------
    fusion, head
        Who has opinions, and who weighs them.
    k
        Length of each component's list.
    """

    def __init__(self, fusion: Fusion, head: Head, k: int) -> None:
        self.fusion = fusion
        self.head = head
        self.k = k
        self.maps = SlotMaps()

    @property
    def ready(self) -> bool:
        """Whether the head has learned enough to be preferred to rank fusion."""
        return self.head.probes >= MIN_PROBES

    def opinions(
        self, contexts: Contexts, exclude: Bool, sizes: tuple[int, int], only: Union | None = None
    ) -> Opinions:
        """Ask all components.

        Parameters
        ----------
        contexts
            Who asks.
        exclude
            Whether each person's own items are kept from the list, shape (n,).
        sizes
            Fold slots and universe slots in use.
        only
            Score these candidates (universe slots) instead of the components' proposals.
        """
        n_fold, n_universe = sizes
        self.maps.reserve(n_fold, n_universe)
        universe = _queries(contexts, exclude, self.maps.universe_marks, n_universe)
        fold = _in_fold(universe, self.maps, n_fold)
        return self.fusion.opinions(fold, universe, (self.maps.item_of, self.maps.fold_of), self.k, only)

    def parts(self, opinions: Opinions, *, fused: bool) -> Float64:
        """Contributions to the utility of every candidate, shape (total, parts)."""
        merged, fusion = opinions.union, self.fusion
        out = np.zeros((len(merged.item), len(fusion.part_names)))
        if fused:
            weights = self.head.weights_of(opinions.maturity, opinions.gap)
            split(merged.start, opinions.features, weights, fusion.part_of, out)
        else:
            place = np.zeros(len(self.maps.fold_of), np.int32)
            split_ranks(opinions.top, merged.start, merged.item, fusion.column_part, place, out)
        return out

    def rank(self, opinions: Opinions, length: int, safe: SafePopularity) -> ScoredLists:
        """The best ``length`` candidates of everyone, by the head or, before it is ready, by ranks."""
        merged, ready = opinions.union, self.ready
        parts = self.parts(opinions, fused=ready)
        utility = np.empty(len(merged.item))
        total(parts, utility)
        start, chosen = self._best(merged, utility, length)
        slots = merged.item[chosen]
        return ScoredLists(
            list_start=start,
            slot=slots,
            utility=utility[chosen],
            parts=parts[chosen],
            part_names=self.fusion.part_names,
            control=safe.utility(self.maps.fold_of[slots]),
            fused=ready,
        )

    def popular_here(
        self, contexts: Contexts, exclude: Bool, sizes: tuple[int, int], length: int, safe: SafePopularity
    ) -> ScoredLists:
        """What is popular among people in the same situation: nothing else of a person counts.

        Parameters
        ----------
        sizes
            As in ``opinions``.
        length
            Candidates per person, at most.
        """
        n_fold, n_universe = sizes
        self.maps.reserve(n_fold, n_universe)
        fold = _in_fold(_queries(contexts, exclude, self.maps.universe_marks, n_universe), self.maps, n_fold)
        items, values = self.fusion.popularity.candidates(fold, length)
        return self._popular(items[:, -1, :], values[:, -1, :], safe)

    def _popular(self, items: Int32, values: Float32, safe: SafePopularity) -> ScoredLists:
        there = items > 0
        folds = items[there]
        parts = np.zeros((len(folds), len(self.fusion.part_names)))
        parts[:, self.fusion.part_names.index(self.fusion.popularity.name)] = np.log1p(
            2.0 ** values[there].astype(np.float64)
        )
        return ScoredLists(
            list_start=np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32),
            slot=self.maps.item_of[folds],
            utility=parts.sum(axis=1),
            parts=parts,
            part_names=self.fusion.part_names,
            control=safe.utility(folds),
            fused=False,
        )

    def probe(self, opinions: Opinions, slots: Int32) -> ProbeScores:
        """Where everybody put the item that came; ``slots`` are universe slots, shape (n,)."""
        merged, n = opinions.union, len(slots)
        target = np.full(n, -1, np.int32)
        for u in range(n):
            at = np.flatnonzero(merged.item[merged.start[u] : merged.start[u + 1]] == slots[u])
            if at.size and slots[u] != 0:
                target[u] = at[0]
        columns = len(self.fusion.columns)
        ranks = np.zeros((n, columns + 2), np.int32)
        ranks_of(opinions.top, slots, ranks)
        utility = np.empty(len(merged.item))
        total(self.parts(opinions, fused=True), utility)
        rank_in(merged.start, merged.item, utility, target, ranks[:, columns])
        rank_in(merged.start, merged.item, merged.rrf.astype(np.float64), target, ranks[:, columns + 1])
        start, chosen = self._best(merged, utility, DEPTH)
        fused = np.zeros((n, DEPTH), np.int32)
        fused[np.arange(DEPTH) < np.diff(start)[:, None]] = merged.item[chosen]
        overlap = overlaps(opinions.top, fused, self.fusion.column_part)
        return ProbeScores(target, opinions, ranks.astype(np.int16), overlap)

    def _best(self, merged: Union, utility: Float64, length: int) -> tuple[Int32, Int32]:
        """Where each person's best ``length`` candidates begin, and their rows, best first."""
        start = np.zeros_like(merged.start)
        np.cumsum(np.minimum(np.diff(merged.start), length), out=start[1:])
        chosen = np.empty(start[-1], np.int32)
        best(merged.start, merged.item, utility, np.zeros(len(self.maps.fold_of), np.int32), start, chosen)
        return start, chosen


def _longer(array: Int32, n: int) -> Int32:
    if n <= len(array):
        return array
    grown = np.zeros(max(n, 2 * len(array)), array.dtype)
    grown[: len(array)] = array
    return grown


def _queries(contexts: Contexts, exclude: Bool, marks: Marks, n_items: int) -> Queries:
    seen_start, seen_slot = contexts.seen_start, contexts.seen_slot
    if not exclude.all():
        length = np.diff(seen_start) * exclude
        seen_slot = seen_slot[np.repeat(exclude, np.diff(seen_start))]
        seen_start = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
    return Queries(
        user=contexts.user,
        now=contexts.now,
        age=contexts.age,
        start=contexts.ctx_start,
        item=contexts.ctx_slot,
        gap=contexts.ctx_gap,
        kind=contexts.ctx_kind,
        ban_start=seen_start,
        ban_item=seen_slot,
        marks=marks,
        n_items=n_items,
    )


def _in_fold(universe: Queries, maps: SlotMaps, n_fold: int) -> Queries:
    return Queries(
        user=universe.user,
        now=universe.now,
        age=universe.age,
        start=universe.start,
        item=maps.fold_of[universe.item],
        gap=universe.gap,
        kind=universe.kind,
        ban_start=universe.ban_start,
        ban_item=maps.fold_of[universe.ban_item],
        marks=maps.fold_marks,
        n_items=n_fold,
    )
