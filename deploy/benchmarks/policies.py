"""What exploring costs: regret of the bandits in worlds whose law is known, and microseconds per list.

Regrets are ratios to a plain alternative in the same worlds: uniform choice, a posterior that forgets
nothing, a posterior that looks at conversions alone.  The time is that of ``decide`` with everything in
force (200 candidates, 10 slots, diversity over 64 dimensions, Thompson draws), lists and structs
included, against greedy sorting and the same structs without probabilities.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import thread_time

import numpy as np
import numpy.typing as npt
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from deploy.benchmarks.base import BenchArgs, BenchResult, Figure
from models.bandit.click import ClickPosterior
from models.bandit.counts import Memory
from models.bandit.purchase import PurchasePosterior
from models.bandit.synthetic import FOREVER, lai_robbins, play
from models.bandit.thompson import Thompson
from models.experiments import Experiment
from models.fusion.scored import ScoredLists
from models.interning import Interner
from models.policy.decide import Stamp, decide
from models.policy.rules import Shelf
from models.policy.view import PolicyView
from schemas.recommendations import Recommendation, RecommendedItem
from schemas.settings import PolicySettings
from schemas.signals import Float64, Int64

OPTIONS = {"candidates": 200, "slots": 10, "steps": 10_000}
BATCH = 64
PARTS = ("popularity", "transitions", "factors", "repeats", "content")
RATES = np.array([0.1, *[0.05] * 3, *[0.02] * 3, *[0.01] * 3])
MOVING = np.array([0.1, 0.05, 0.05, 0.03, 0.03])
CONVERSION = np.array([0.02, 0.05, 0.01, 0.04, 0.03, 0.06, 0.015, 0.025, 0.035, 0.005])
VALUE = np.array([60.0, 10.0, 200.0, 15.0, 20.0, 8.0, 30.0, 40.0, 12.0, 100.0])


@dataclass(frozen=True, slots=True)
class Ask:
    """A request."""

    user_id: str
    trigger_id: str
    k: int
    surface: str = "home"
    event_ts: int = 0
    special: bool = False


def run(args: BenchArgs) -> BenchResult:
    """Play all worlds, and time the policy."""
    steps = args.whole("steps") // (4 if args.short else 1)
    worlds = [_regrets(seed, steps) for seed in range(args.runs * (1 if args.short else 4))]
    figures: dict[str, Figure | float] = {
        name: Figure.of([w[name] for w in worlds]) for name in worlds[0] if name != "slope"
    }
    figures["slope_to_lai_robbins"] = float(np.mean([w["slope"] for w in worlds])) / lai_robbins(RATES)
    ours, plain = _times(args)
    figures["us_per_list"] = Figure.of(ours)
    figures["ratio_to_greedy"] = Figure.of([a / b for a, b in zip(ours, plain, strict=True)])
    return BenchResult(
        bench="policies", figures=figures, against={"greedy sort": {"us_per_list": Figure.of(plain)}}
    )


def _regrets(seed: int, steps: int) -> dict[str, float]:
    """Regret ratios of one seed."""
    steady = _clicks(seed, steps, FOREVER, lambda _: RATES)
    forgets, remembers = (_clicks(seed, 2 * steps, half, _moving(steps)) for half in (1e3, FOREVER))
    two_part, conversion = (_revenue(seed, steps, kind) for kind in (PurchasePosterior, ConversionOnly))
    return {
        "thompson_to_uniform": steady[-1] / (steps * (RATES.max() - RATES.mean())),
        "forgetting_to_not": forgets[-1] / remembers[-1],
        "two_part_to_conversion": two_part / conversion,
        "slope": (steady[-1] - steady[steps // 10 - 1]) / np.log(10),
    }


def _moving(steps: int) -> Callable[[int], Float64]:
    """The best arm moves four times in ``2 · steps``."""
    return lambda t: np.roll(MOVING, t * 2 // steps * 2)


class ConversionOnly(PurchasePosterior):
    """What a bandit on conversions believes: all orders are worth the same."""

    @override
    def value_posterior(self, slots: npt.NDArray[np.int32]) -> Float64:
        """The stream's mean order value, certainly."""
        return np.tile([1e9, 1e9 * self.order_value()], (len(slots), 1))


def _clicks(seed: int, steps: int, half_life: float, rates_at: Callable[[int], Float64]) -> Float64:
    """Cumulative regret of click sampling."""
    rng = np.random.default_rng(seed)
    arms = len(rates_at(0))
    memory = Memory(half_life=half_life, delay=0.0, prior_hits=2.0)
    fold_of = np.arange(arms + 1, dtype=np.int32)
    bandit = Thompson(ClickPosterior(memory), PurchasePosterior(memory), fold_of, 0.0, 1e9)
    lost: list[Float64] = []

    def pay(picks: Int64, t: int) -> tuple[npt.NDArray[np.bool_], Float64]:
        rates = rates_at(t)
        lost.append(rates.max() - rates[picks])
        return rng.random(len(picks)) < rates[picks], np.zeros(len(picks))

    play(bandit, pay, arms, steps=steps, batch=100, seed=seed)
    return np.cumsum(np.concatenate(lost))


def _revenue(seed: int, steps: int, kind: type[PurchasePosterior]) -> float:
    """Regret in revenue."""
    rng = np.random.default_rng(seed)
    memory = Memory(half_life=FOREVER, delay=0.0)
    never = ClickPosterior(Memory(half_life=FOREVER, delay=0.0, prior_mean=1e-6, prior_hits=1e3))
    bandit = Thompson(never, kind(memory), np.arange(len(VALUE) + 1, dtype=np.int32), 1e3, 1e9)

    def pay(picks: Int64, _: int) -> tuple[npt.NDArray[np.bool_], Float64]:
        bought = rng.random(len(picks)) < CONVERSION[picks]
        return np.zeros(len(picks), np.bool_), bought * rng.exponential(VALUE[picks])

    revenue = CONVERSION * VALUE
    chosen = play(bandit, pay, len(VALUE), steps=steps, batch=100, seed=seed)
    return float((revenue.max() - revenue[chosen]).sum())


def _times(args: BenchArgs) -> tuple[list[float], list[float]]:
    """Microseconds of this thread per list, ours and those of plain sorting, alternating."""
    candidates, k, size = args.whole("candidates"), args.whole("slots"), 20 * args.whole("candidates")
    rng = np.random.default_rng(0)
    scored = _lists(rng, candidates, size)
    vectors = rng.normal(size=(size, 64)).astype(np.float32)
    shelf = Shelf(vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    items = Interner(f"item-{i}" for i in range(1, size))
    view = PolicyView(PolicySettings(pool=min(candidates, 1000)), Experiment("bench", 0.1))
    draws = Thompson(ClickPosterior(), PurchasePosterior(), np.arange(size, dtype=np.int32))
    asks = [Ask(f"user-{i}", f"trigger-{i}", k) for i in range(BATCH)]
    ours: list[float] = []
    plain: list[float] = []
    for seed in range(args.runs * 4 + 1):
        started = thread_time()
        decide(view, asks, scored, items=items, stamp=Stamp(0, seed), shelf=shelf, draws=draws)
        between = thread_time()
        _greedy(asks, scored, items)
        ours.append((between - started) / BATCH * 1e6)
        plain.append((thread_time() - between) / BATCH * 1e6)
    return ours[1:], plain[1:]  # the first compiles


def _lists(rng: np.random.Generator, candidates: int, size: int) -> ScoredLists:
    slot = np.concatenate([rng.permutation(size - 1)[:candidates] + 1 for _ in range(BATCH)])
    parts = rng.normal(size=(len(slot), len(PARTS)))
    utility = np.zeros(len(slot))
    for column in parts.T:
        utility += column
    return ScoredLists(
        list_start=(np.arange(BATCH + 1) * candidates).astype(np.int32),
        slot=slot.astype(np.int32),
        utility=utility,
        parts=parts,
        part_names=PARTS,
        control=rng.normal(size=len(slot)),
    )


def _greedy(asks: list[Ask], scored: ScoredLists, items: Interner) -> list[Recommendation]:
    """The best k by utility, in the same structs, each shown for certain."""
    out = []
    for n, ask in enumerate(asks):
        a, b = scored.list_start[n], scored.list_start[n + 1]
        best = a + np.argsort(-scored.utility[a:b], kind="stable")[: ask.k]
        ids = items.ids_of(scored.slot[best].tolist())
        scores, parts = scored.utility[best].tolist(), scored.parts[best].tolist()
        chosen = tuple(
            RecommendedItem(
                item_id=i,
                position=j,
                score=s,
                propensity=1.0,
                parts=dict(zip(scored.part_names, p, strict=True)),
            )
            for j, (i, s, p) in enumerate(zip(ids, scores, parts, strict=True))
        )
        out.append(
            Recommendation(
                decision_id=ask.trigger_id,
                trigger_id=ask.trigger_id,
                user_id=ask.user_id,
                ts=0,
                surface=ask.surface,
                items=chosen,
                arm="treatment",
                policy="greedy",
                epoch=0,
                model="",
            )
        )
    return out
