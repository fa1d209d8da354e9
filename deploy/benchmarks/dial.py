"""What variety costs: NDCG@10 against diversity and novelty along the dial ``policy.variety``.

A log is replayed, each tested event first a question; the lists that the policy would draw at every
place of the dial, greedily, are compared on the same scores.  Coverage, novelty and distance are those of
``streamwise evaluate``.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deploy.benchmarks.base import BenchArgs, BenchResult
from deploy.evaluation.items import read_items
from deploy.evaluation.logs import Log, Reading, load
from models.engine import ListRequest
from models.evaluation.evaluation import Plan
from models.evaluation.metrics import credit
from models.evaluation.session import NOBODY_HELD_OUT, Session
from models.evaluation.spread import Spread
from models.evaluation.walk import LogEvent, walk
from models.experiments import Experiment
from models.fusion.scored import ScoredLists
from models.policy.decide import Stamp, decide
from models.policy.rules import Shelf
from models.policy.view import PolicyView
from schemas.settings import EngineSettings, PolicySettings

OPTIONS = {"log": "complete-journey", "items": "", "keep_seen": 1, "events": 30_000, "every": 5}
DIALS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
K = 10
MEANS = {"NDCG@10": "ndcg", "ILD@10": "ild", "novelty@10": "novelty", "coverage@10": "coverage"}


def run(args: BenchArgs) -> BenchResult:
    """Replay the log once; every list at every place of the dial."""
    log = _log(args)
    events = log.events[: 2_000 if args.short else args.whole("events")]
    keep_seen = bool(args.whole("keep_seen"))
    session = Plan(EngineSettings(), keep_seen=keep_seen).session()
    session.engine.describe(list(log.items.values()))
    spread = Spread({item.item_id: frozenset(item.categories) for item in log.items.values()})
    views = {f"{variety:g}": _view(variety) for variety in DIALS}
    ranks: dict[str, list[int]] = {name: [] for name in views}
    for step in walk(events, every=args.whole("every"), keep_seen=keep_seen):
        if step.ask:
            shown = _lists(session, step.event, views)
            spread.add(shown)
            for name, items in shown.items():
                ranks[name].append(items.index(step.event.item) + 1 if step.event.item in items else 0)
        session.observe(step.event)
        spread.learn(step.event.item)
    figures: dict[str, float] = {"tests": float(len(ranks["0"]))}
    for name, mine in ranks.items():
        means = {"NDCG@10": float(credit(np.array(mine, np.int32))[:, 1].mean()), **spread.summary(name)}
        figures |= {f"{MEANS[key]}_{name}": value for key, value in means.items() if value is not None}
    return BenchResult(bench="dial", figures=figures)


def _log(args: BenchArgs) -> Log:
    log = load(args.text("log"), Reading())
    if not args.text("items"):
        return log
    return Log(log.name, log.events, items=read_items(Path(args.text("items")), {}))


def _view(variety: float) -> PolicyView:
    policy = PolicySettings(epsilon=0.0, temperature=0.0, thompson=0.0, context_share=0.0, variety=variety)
    return PolicyView(policy, Experiment.of(NOBODY_HELD_OUT))


def _lists(session: Session, event: LogEvent, views: Mapping[str, PolicyView]) -> dict[str, list[str]]:
    """One question, answered at every place of the dial from the same scores."""
    session.flush()
    engine, now = session.engine, round(event.t * 1000)
    pool = PolicySettings().pool
    scored = engine.rank([ListRequest(session.shard, event.user, pool)], now=now)
    shelf = Shelf(
        engine.catalogue.live(), engine.catalogue.group(), engine.content.sketches(len(engine.items))
    )
    return {name: _list(session, event, scored, view, shelf, now) for name, view in views.items()}


def _list(
    session: Session, event: LogEvent, scored: ScoredLists, view: PolicyView, shelf: Shelf, now: int
) -> list[str]:
    request = ListRequest(session.shard, event.user, K, "test")
    stamp = Stamp(now=now, seed=0)
    drawn = decide(view, [request], scored, items=session.engine.items, stamp=stamp, shelf=shelf)[0]
    return [item.item_id for item in drawn.recommendation.items]
