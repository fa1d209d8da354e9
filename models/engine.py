"""The engine: events in, rows out; rows in, better lists out.  It knows no I/O, clock or randomness."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Self

import numpy as np

from models import ladder, lending
from models.allowed import allowed, most_popular
from models.bandit.click import ClickPosterior
from models.bandit.purchase import PurchasePosterior
from models.bandit.thompson import Thompson
from models.catalogue import Catalogue
from models.components.base import Component
from models.components.budget import GradientBudget
from models.components.content import Content
from models.components.factors import Factors
from models.components.popularity import Popularity
from models.components.repeats import Repeats
from models.components.transitions import Transitions
from models.contexts import Contexts
from models.experiments import Experiment
from models.explain import Reasons
from models.fold import FoldLog, Lent, Rows
from models.fusion.candidates import Union
from models.fusion.fusion import FIXED, Fusion, Opinions
from models.fusion.head import Head
from models.fusion.scoreboard import Scoreboard
from models.fusion.scored import ScoredLists
from models.interning import Interner
from models.ladder import FULL, GIVEN, GLOBAL, OPENING, SAFE, SEGMENT, Stock, Way
from models.policy.decide import Stamp, decide
from models.policy.rules import Shelf
from models.policy.safe import SafePopularity, safe_lists
from models.policy.view import PolicyState, PolicyView
from models.probing import ProbeBudget, fair, with_probes
from models.related import by_factors, check_length, neighbours, only_had, trends, unknown
from models.requests import Batch, ListRequest, contexts_of
from models.scoring import Bool, Scorer
from models.users.applied import Applied
from models.users.shard import UserShard
from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.errors import SnapshotError
from schemas.events import AnyEvent, Decision
from schemas.ladder import EXPLANATIONS, Cause, Rung
from schemas.popular import PopularLists
from schemas.related import SimilarItems, TrendingItems
from schemas.settings import (
    EngineSettings,
    ExperimentSettings,
    PolicySettings,
    SeenRule,
    Settings,
    UserSettings,
)
from schemas.signals import Float64, Int32, Int64, SignalBlock
from schemas.snapshots import Buffer, pack, unpack_parts

__all__ = ["Engine", "ListRequest"]

PRIOR = 0.3
"""Weight of every component's z-score before the first probe."""


class Engine:
    """Façade over user shards, folds, components, head and catalogue.

    Not thread-safe: a worker guards it by one lock, but for what touches user state alone (``apply``,
    ``Batch.of``), which one other thread may do at the same time once it is told to ``share``.  Kernels
    that take long release the interpreter lock.

    Parameters
    ----------
    settings
        What is learned and how lists are scored.
    users, policy, experiment
        Settings of user state, of list sampling and of the running experiment.
    seed
        Of the factors' starting values and of their negative samples.

    Examples
    --------
    >>> engine = Engine(EngineSettings(), seed=1)
    >>> engine.fusion.part_names
    ('popularity', 'transitions', 'factors', 'repeats', 'content')
    """

    VERSION = 2

    def __init__(
        self,
        settings: EngineSettings,
        *,
        users: UserSettings | None = None,
        policy: PolicySettings | None = None,
        experiment: ExperimentSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = settings
        self.users = users or UserSettings()
        self.experiment = experiment or ExperimentSettings()
        self.seen: SeenRule = settings.exclude_seen
        self.items = Interner()
        self.catalogue = Catalogue(self.items)
        self.popularity = Popularity()
        self.transitions = Transitions()
        budget = GradientBudget(settings.gradient_rows_per_second)
        self.factors = Factors(settings.factors, seed=seed, budget=budget)
        self.repeats = Repeats()
        self.content = Content()
        others: tuple[Component, ...] = (self.transitions, self.factors, self.repeats)
        self.fusion = Fusion(self.popularity, others, self.content, settings.without)
        self.head = Head(self.fusion.feature_names, self.fusion.prior(PRIOR), fixed=FIXED)
        self.scoreboard = Scoreboard(self.fusion.columns)
        self.safe = SafePopularity()
        self.click = ClickPosterior()
        self.purchase = PurchasePosterior()
        view = PolicyView(policy or PolicySettings(), Experiment.of(self.experiment))
        self.policy = PolicyState(view)
        own = (self.head, self.scoreboard, self.safe, self.click, self.purchase, self.policy)
        self.log = FoldLog((*self.fusion.components, *own))
        self.scorer = Scorer(self.fusion, self.head, settings.candidates)
        self.budget = ProbeBudget(settings.probe_share, settings.probes_per_second)
        self._mapped = 1
        self._fallback: tuple[Int32, Float64] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The engine that a whole tree of settings describes."""
        return cls(
            settings.engine,
            users=settings.users,
            policy=settings.policy,
            experiment=settings.experiment,
            seed=settings.engine.seed,
        )

    def share(self, adding: AbstractContextManager[Any]) -> None:
        """Let one thread work with user state while another works with all else; ``adding`` is a lock."""
        self.items.share(adding)

    def open_shard(self, partition: int, incarnation: int = 0) -> UserShard:
        """User state of one ``events`` partition, empty."""
        return UserShard(partition, incarnation, self.items, self.users, self.experiment)

    def apply(
        self, shard: UserShard, events: Sequence[AnyEvent], offsets: Int64, *, broker_ts: Int64
    ) -> Applied:
        """Apply events to user state; contexts of the events to be probed are kept."""
        wanted = self.budget.choose(events, broker_ts)
        return shard.apply(events, offsets, broker_ts, want_contexts=wanted)

    def block_of(self, applied: Applied) -> SignalBlock:
        """Rows of what was applied, probes included."""
        block = applied.to_block(self.items)
        contexts, rows = applied.contexts, applied.interactions
        if not len(contexts):
            return block
        at = np.searchsorted(rows.offset, applied.offsets[applied.contexts_at])
        slots, weight = rows.item[at], rows.weight[at]
        exclude = self._usual(contexts)
        opinions = self._opinions(contexts, exclude)
        return with_probes(
            block,
            self.items,
            self.scorer.probe(opinions, slots),
            keep=(weight > 0) & fair(contexts, slots, exclude),
            identity=(slots, contexts.user, contexts.now, rows.offset[at], weight, rows.arm[at]),
            names=(self.fusion.feature_names, self.fusion.columns),
        )

    def observe(
        self, shard: UserShard, events: Sequence[AnyEvent], offsets: Int64, *, broker_ts: Int64
    ) -> SignalBlock:
        """Apply events and give the rows that they are worth; ``apply`` and ``block_of`` in one."""
        return self.block_of(self.apply(shard, events, offsets, broker_ts=broker_ts))

    def learn(self, block: SignalBlock) -> Rows | None:
        """Fold a block; None if all of it was folded before.

        Raises
        ------
        CoverGapError
            Blocks before it are missing.
        """
        rows = self.log.learn(block)
        self._map_new()
        return rows

    def recommend(
        self,
        shard_requests: Sequence[ListRequest],
        *,
        now: int,
        seed: int,
        rung: Rung = Rung.FULL,
        cause: Cause | None = None,
        explain: bool = True,
    ) -> list[Decision]:
        """Draw one list per request, in their order.

        Parameters
        ----------
        shard_requests
            A batch; best speed at 64.
        now
            Time of the decisions, ms.
        seed
            Of the draws; another attempt at the same triggers needs another one.
        rung, cause
            The best rung there is time and knowledge for (full, segment or global), and what is missing.
        explain
            Name the past items behind each choice.
        """
        return self.draw(Batch.of(shard_requests, now), seed=seed, rung=rung, cause=cause, explain=explain)

    def draw(
        self,
        batch: Batch,
        *,
        seed: int,
        rung: Rung = Rung.FULL,
        cause: Cause | None = None,
        explain: bool = True,
    ) -> list[Decision]:
        """``recommend`` without user state: events may be applied on another thread meanwhile."""
        view = self.policy.view
        ways = [
            ladder.way_of(rung, arm, safe=view.serves_safe(arm), restricted=r.restricted)
            for arm, r in zip(batch.arms, batch.requests, strict=True)
        ]
        stock, ways = self._stock(view, batch, ways)
        stamp = Stamp(now=batch.now, seed=seed, model=self.model)
        drawn: list[Decision | None] = [None] * len(ways)
        for way in dict.fromkeys(ways):
            at = [n for n, mine in enumerate(ways) if mine is way]
            marked = replace(stamp, rung=way.rung, cause=ladder.missing(way, rung, cause))
            lists = self._draw(view, way, batch.some(at), marked, stock.get(way), explain=explain)
            for n, decision in zip(at, lists, strict=True):
                drawn[n] = decision
        return [d for d in drawn if d is not None]

    def _draw(
        self,
        view: PolicyView,
        way: Way,
        batch: Batch,
        stamp: Stamp,
        popular: Stock | None,
        *,
        explain: bool,
    ) -> list[Decision]:
        """Decisions that are made in one way."""
        requests, contexts, pool = batch.requests, batch.contexts, view.settings.pool
        if way in (SAFE, GLOBAL, OPENING) and popular is not None:
            served = view if way is SAFE else view.on_safe()
            scored = self._safe(requests, contexts, popular, pool)
            return self._decided(served, batch, scored, stamp)
        if way.scores == "segment":
            return self._draw_segment(view, batch, stamp, popular)
        if way is GIVEN:
            scored = self._given(requests, contexts, pool)
            return self._decided(ladder.plain(view), batch, scored, stamp)
        scored = self._score(requests, contexts, pool)
        if self.content.without_vectors:
            stamp = replace(stamp, rung=Rung.NO_VECTORS, cause=Cause.VECTORS)
        reasons = Reasons(contexts, scored, self.transitions, self.scorer.maps)
        decisions = decide(
            view,
            requests,
            scored,
            items=self.items,
            stamp=stamp if explain else replace(stamp, without=(EXPLANATIONS,)),
            shelf=self._shelf(),
            draws=Thompson(self.click, self.purchase, self.scorer.maps.fold_of, view.settings.purchase_value),
            because=reasons if explain else None,
            arms=batch.arms,
        )
        lower = replace(stamp, rung=Rung.GLOBAL, cause=Cause.OPENING)
        lacking = ladder.short(requests, decisions, pool, met=len(self.log.items) - 1)
        k = max((requests[n].k for n in lacking), default=0)
        return self._redrawn(decisions, lacking, view, batch, lower, self._opening(view, k))

    def _draw_segment(
        self,
        view: PolicyView,
        batch: Batch,
        stamp: Stamp,
        popular: Stock | None,
    ) -> list[Decision]:
        """What is popular in each person's situation; what is popular at all where that is too little."""
        requests, contexts, pool = batch.requests, batch.contexts, view.settings.pool
        sizes = len(self.log.items), len(self.items)
        exclude = self._exclude(requests, contexts)
        scored = self.scorer.popular_here(contexts, exclude, sizes, pool, self.safe)
        decisions = self._decided(ladder.plain(view), batch, scored, stamp)
        lower = replace(stamp, rung=Rung.GLOBAL)
        return self._redrawn(decisions, ladder.short(requests, decisions, pool), view, batch, lower, popular)

    def _decided(self, view: PolicyView, batch: Batch, scored: ScoredLists, stamp: Stamp) -> list[Decision]:
        """Decisions without draws of the posteriors and without reasons."""
        items, shelf = self.items, self._shelf()
        return decide(view, batch.requests, scored, items=items, stamp=stamp, shelf=shelf, arms=batch.arms)

    def _redrawn(
        self,
        decisions: list[Decision],
        lacking: Sequence[int],
        view: PolicyView,
        batch: Batch,
        stamp: Stamp,
        popular: Stock | None,
    ) -> list[Decision]:
        """The lists that lack items, drawn from what is popular instead."""
        if lacking and popular is not None:
            made = self._draw(view, GLOBAL, batch.some(lacking), stamp, popular, explain=False)
            for n, decision in zip(lacking, made, strict=True):
                decisions[n] = decision
        return decisions

    def _safe(
        self,
        requests: Sequence[ListRequest],
        contexts: Contexts,
        popular: Stock,
        pool: int,
    ) -> ScoredLists:
        length = np.diff(contexts.seen_start) * self._exclude(requests, contexts)
        banned = contexts.seen_slot[np.repeat(length > 0, np.diff(contexts.seen_start))]
        start = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
        return safe_lists(*popular, start, banned, pool, self.fusion.part_names)

    def _stock(self, view: PolicyView, batch: Batch, ways: list[Way]) -> tuple[dict[Way, Stock], list[Way]]:
        """What lists of lower ways are drawn from, and the ways of all: another where that is too little."""
        if all(way in (FULL, GIVEN) for way in ways):
            return {}, ways
        popular = self._popular(view)
        wanted = [0 if w in (FULL, GIVEN) else r.k for w, r in zip(ways, batch.requests, strict=True)]
        few = [n for n, k in enumerate(wanted) if min(k, view.settings.pool) > len(popular[0])]
        found = self._opening(view, max((wanted[n] for n in few), default=0))
        for n in few:
            ways[n] = FULL if found is None else OPENING
        stock = dict.fromkeys((SAFE, GLOBAL, SEGMENT), popular)
        return (stock if found is None else stock | {OPENING: found}), ways

    def _popular(self, view: PolicyView) -> Stock:
        """Candidates of the safe policy with their utility."""
        if self._fallback is not None:
            slots, utility = self._fallback
        else:
            folds = self.safe.candidates(view.settings.pool + self.users.history)
            slots, utility = self.scorer.maps.item_of[folds], self.safe.utility(folds)
        listed = self.catalogue.live()[slots] == 1
        return slots[listed], utility[listed]

    def _opening(self, view: PolicyView, k: int) -> Stock | None:
        """Candidates of a shop that opens: what was met so far, then what the catalogue described last.

        None when ``k`` items, or a whole pool, were met, or the catalogue adds none to them.
        """
        count = len(self.log.items) - 1 if self._fallback is None else len(self._fallback[0])
        if count >= min(k, view.settings.pool):
            return None
        self.scorer.maps.reserve(len(self.log.items), len(self.items))
        met = self.scorer.maps.item_of[1 : len(self.log.items)]
        known = self._fallback or (met, self.safe.utility(self.scorer.maps.fold_of[met]))
        return ladder.opening(self.catalogue, *known, k + view.settings.pool + self.users.history)

    def popular(self, *, now: int, length: int = 200) -> PopularLists:
        """What is popular with everybody and in each segment: for who must do without an engine."""
        maps = self.scorer.maps
        maps.reserve(len(self.log.items), len(self.items))
        listed = self.catalogue.live()[maps.item_of[: len(self.log.items)]]
        return ladder.popular_lists(
            self.popularity, self.safe, self.log.items, listed, now=now, model=self.model, length=length
        )

    def fall_back(self, lists: PopularLists | None) -> None:
        """Let these stand in for the safe policy's own counts, until told otherwise (None)."""
        self._fallback = None if lists is None else ladder.known(lists, self.items.intern_many)

    def rank(self, requests: Sequence[ListRequest], *, now: int) -> ScoredLists:
        """Candidates by fused utility, as many as the longest ``k``: no exploration, no diversity."""
        return self._score(requests, contexts_of(requests, now), max(r.k for r in requests))

    def opinions(self, requests: Sequence[ListRequest], *, now: int) -> Opinions:
        """What every component proposes to each person, and the candidates' features; nothing is learned."""
        contexts = contexts_of(requests, now)
        return self._opinions(contexts, self._exclude(requests, contexts))

    def similar(self, item: str, k: int = 10) -> SimilarItems:
        """Items that resemble an item, best first; it need not be listed itself, they are.

        Evidence: what comes with it in people's histories (transitions, all reaches), factors by their
        cosine, and content vectors, which an item with a text has before its first event.

        Raises
        ------
        InvalidMessageError
            ``k`` is not 1 to 200, or nothing is known of the item; then the nearest ids are named.
        """
        check_length(k)
        slot = self.items.lookup(item)
        if slot == 0:
            raise unknown(item, self.items.ids)
        opinions = self._opinions(only_had(slot, 0), np.array([True]))
        near = by_factors(self.factors, self.popularity, self.scorer.maps, self.catalogue.live(), slot)
        found = neighbours(opinions, self.fusion, near, self.items, k)
        return SimilarItems(item_id=item, model=self.model, items=found)

    def trending(self, k: int = 10) -> TrendingItems:
        """Items that rise beyond chance, the surest first: see ``models/trending.py``.

        Raises
        ------
        InvalidMessageError
            ``k`` is not 1 to 200.
        """
        check_length(k)
        found = trends(self.popularity, self.scorer.maps, self.catalogue.live(), self.items, k)
        return TrendingItems(model=self.model, items=found)

    def describe(self, items: Sequence[Item]) -> None:
        """Insert or replace items of the catalogue."""
        slots = self.catalogue.describe(items)
        self._live(slots)
        self.content.describe(slots, items)

    def delist(self, item_ids: Iterable[str]) -> None:
        """Never list these items, until they are described again."""
        self._live(self.catalogue.delist(item_ids))

    def embed(self, embeddings: Sequence[Embedding]) -> None:
        """Take vectors of an encoder."""
        self.content.embed(self.items.intern_many(e.item_id for e in embeddings), embeddings)

    def unembed(self, item_ids: Iterable[str]) -> None:
        """Drop the encoder's vectors of these items."""
        self.content.unembed(self.items.lookup_many(item_ids))

    @property
    def exclude_seen(self) -> bool:
        """Whether people's own items are kept off lists now: as set, or as the stream teaches."""
        if self.seen == "auto":
            return self.repeats.rare
        return self.seen

    @property
    def model(self) -> str:
        """Names the state of the models: how many rows they learned from."""
        return f"r{self.log.rows_learned}"

    def live_scores(self) -> dict[str, dict[str, float]]:
        """Recent prequential scores of every component, the fused list and rank fusion."""
        return self.scoreboard.scores()

    def live_overlaps(self) -> dict[str, float]:
        """Recent mean rank-biased overlap of the components' lists; ``"all"``: of all."""
        return self.scoreboard.overlaps()

    def snapshot(self) -> bytes:
        """Folds, fold slots and high-waters; user state is kept by its blocks, the catalogue by its topic."""
        meta = {"factors": self.settings.factors, "features": list(self.fusion.feature_names)}
        return pack("engine", self.VERSION, {}, meta, {"log": self.log.snapshot()})

    def restore(self, data: Buffer) -> None:
        """Become what ``snapshot`` wrote.

        Raises
        ------
        SnapshotError
            Damaged, of another version, or learned with other features or factors.
        """
        parts, meta = unpack_parts(data, "engine", self.VERSION)
        lending.refuse_other(meta, self.fusion.feature_names, self.settings.factors)
        self.log.restore(parts["log"])
        self._map_all()

    def lend(self) -> Lent:
        """All folds as they stand, for other processes to read: arrays are shown, not copied."""
        lent = lending.lend(self.log)
        mine = {
            "factors": self.settings.factors,
            "features": list(self.fusion.feature_names),
            "experiment": self.experiment.name,
        }
        return Lent(lent.arrays, {**lent.values, **mine})

    def snapshot_of(self, lent: Lent) -> bytes:
        """What ``snapshot`` would have written when this engine lent that: for encoding on another thread."""
        twin = type(self)(self.settings, experiment=self.experiment)
        lending.adopt(twin.log, lent)
        return twin.snapshot()

    def adopt(self, lent: Lent) -> None:
        """Read from now on what another engine lent, in place; ``learn`` is refused from then on.

        Raises
        ------
        SnapshotError
            Learned by another build, or with other features, factors, or another experiment.
        """
        lending.refuse_other(lent.values, self.fusion.feature_names, self.settings.factors)
        if (theirs := lent.values["experiment"]) != self.experiment.name:
            ours_is = f"experiment.name = {self.experiment.name!r}"
            raise SnapshotError(f"{ours_is}: the learner's is {theirs!r}: its policy switches are not ours")
        if lending.adopt(self.log, lent):
            self._map_new()
        else:
            self._map_all()

    def _opinions(self, contexts: Contexts, exclude: Bool, only: Union | None = None) -> Opinions:
        return self.scorer.opinions(contexts, exclude, (len(self.log.items), len(self.items)), only)

    def _map_all(self) -> None:
        """Give universe slots to all ids of a log that is not the one before."""
        self.scorer.maps.part()
        self._mapped = 1
        self._map_new()

    def _map_new(self) -> None:
        """Give universe slots to ids that the log brought."""
        known = len(self.log.items)
        if self._mapped == known:
            return
        slots = self.items.intern_many(self.log.items.id_of(f) for f in range(self._mapped, known))
        self.scorer.maps.reserve(known, len(self.items))
        for fold, slot in enumerate(slots.tolist(), self._mapped):
            self.scorer.maps.join(fold, slot)
        self._mapped = known

    def _live(self, slots: Int32) -> None:
        self.scorer.maps.reserve(len(self.log.items), len(self.items))
        self.scorer.maps.set_live(slots, self.catalogue.live()[slots])

    def _usual(self, contexts: Contexts) -> Bool:
        """Whether each person's own items are kept off their lists, unless a request says otherwise.

        Where the stream decides, a person who has had half of all items sees them again: better than nothing.
        """
        few = 2 * np.diff(contexts.seen_start) < len(self.items)
        return np.asarray(few & self.exclude_seen if self.seen == "auto" else np.full(len(few), self.seen))

    def _exclude(self, requests: Sequence[ListRequest], contexts: Contexts) -> Bool:
        asked = [r.exclude_seen for r in requests]
        usual = self._usual(contexts).tolist()
        return np.array([u if a is None else a for u, a in zip(usual, asked, strict=True)], np.bool_)

    def _score(self, requests: Sequence[ListRequest], contexts: Contexts, length: int) -> ScoredLists:
        exclude = self._exclude(requests, contexts)
        only = self._only(requests, contexts, exclude)
        opinions = self._opinions(contexts, exclude, only)
        return self.scorer.rank(opinions, length, self.safe)

    def _shelf(self) -> Shelf:
        vectors = self.content.sketches(len(self.items))
        return Shelf(self.catalogue.live(), self.catalogue.group(), vectors)

    def _only(self, requests: Sequence[ListRequest], contexts: Contexts, exclude: Bool) -> Union | None:
        """Fixed candidates for the whole batch, if anybody asks for some."""
        if not any(r.restricted for r in requests):
            return None
        free = None if all(r.restricted for r in requests) else self._opinions(contexts, exclude).union
        lists: list[Int32] = []
        for u, request in enumerate(requests):
            if not request.restricted and free is not None:
                lists.append(free.item[free.start[u] : free.start[u + 1]])
                continue
            a, b = contexts.seen_start[u : u + 2] if exclude[u] else (0, 0)
            lists.append(allowed(request, self.catalogue, contexts.seen_slot[a:b]))
        start = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int32)
        return Union(start, np.concatenate(lists).astype(np.int32), np.zeros(start[-1], np.float32))

    def _given(self, requests: Sequence[ListRequest], contexts: Contexts, length: int) -> ScoredLists:
        """Of what each request allows, the most popular."""
        only = self._only(requests, contexts, self._exclude(requests, contexts))
        assert only is not None  # noqa: S101  every request here is restricted
        self.scorer.maps.reserve(len(self.log.items), len(self.items))
        utility = self.safe.utility(self.scorer.maps.fold_of[only.item])
        column = self.fusion.part_names.index(self.popularity.name)
        return most_popular(only, utility, length, self.fusion.part_names, column)
