"""After ten million events everything still learns: nothing has overflowed, saturated or stood still.

Each test folds 10^7 rows of two rival items, then a change of fashion, and asks whether ranks follow.
Plain sums in float32 fail here (adding 1 to 2^24, or 0.001 to 2^14, changes nothing): transitions that did
not forget lost two of these tests.
"""

from collections.abc import Callable

import numpy as np
import pytest

from models.bandit.click import ClickPosterior
from models.bandit.purchase import PurchasePosterior
from models.bandit.synthetic import exposures, rewards
from models.components.base import Marks, Queries
from models.components.factors import Factors, Step
from models.components.popularity import Popularity
from models.components.repeats import Repeats
from models.components.transitions import FULL, Transitions
from models.fold import Fold, Rows
from models.fusion.head import Head
from models.fusion.scoreboard import Scoreboard
from models.policy.safe import SafePopularity
from schemas.signals import ExposureRows, InteractionRows, Kind, ProbeRows, RewardRows

pytestmark = pytest.mark.slow

MANY = 10_000_000
BLOCK = 1_000_000
OLD, NEW, SOURCE = 1, 2, 3
START = 1_700_000_000_000


def clicks(item: int, n: int, at: int = 0, source: int = SOURCE) -> InteractionRows:
    """``n`` clicks on one item, each half a minute after a click on ``source``, ten a millisecond."""
    return InteractionRows(
        item=np.full(n, item, np.int32),
        user=np.arange(at, at + n, dtype=np.uint64),
        ts=START + np.arange(at, at + n) // 10,
        kind=np.full(n, Kind.CLICK, np.uint8),
        weight=np.ones(n, np.float32),
        offset=np.arange(at, at + n),
        arm=np.zeros(n, np.uint8),
        repeat=np.zeros(n, np.uint8),
        age=np.ones(n, np.int32),
        ctx_start=np.arange(n + 1, dtype=np.int32),
        ctx_item=np.full(n, source, np.int32),
        ctx_gap=np.full(n, 30.0, np.float32),
        ctx_kind=np.full(n, Kind.CLICK, np.uint8),
    )


def rows(
    interactions: InteractionRows | None = None,
    shown: ExposureRows | None = None,
    got: RewardRows | None = None,
    probes: ProbeRows | None = None,
    names: tuple[str, ...] = (),
) -> Rows:
    """Rows of any kind, in fold slots."""
    return Rows(
        interactions=interactions or InteractionRows.empty(),
        exposures=shown or ExposureRows.empty(),
        rewards=got or RewardRows.empty(),
        probes=probes or ProbeRows.empty(),
        controls=(),
        feature_names=names,
        component_names=(),
        n_items=4,
    )


def live(fold: Fold, make: Callable[[int, int, int], Rows], fashion: int) -> None:
    """Ten million rows of ``OLD`` with every hundredth block of ``NEW``, then ``fashion`` rows of ``NEW``."""
    at = 0
    while at < MANY:
        fold.learn(make(OLD, BLOCK - 1000, at))
        fold.learn(make(NEW, 1000, at + BLOCK - 1000))
        at += BLOCK
    before = fold.checksum()
    fold.learn(make(NEW, 1, at))
    assert fold.checksum() != before
    fold.learn(make(NEW, fashion, at + 1))


def after(source: int) -> Queries:
    """Somebody who clicked ``source`` half a minute ago."""
    return Queries(
        user=np.zeros(1, np.uint64),
        now=np.array([START]),
        age=np.ones(1, np.int32),
        start=np.array([0, 1], np.int32),
        item=np.array([source], np.int32),
        gap=np.array([30.0], np.float32),
        kind=np.ones(1, np.uint8),
        ban_start=np.zeros(2, np.int32),
        ban_item=np.zeros(0, np.int32),
        marks=Marks(),
        n_items=4,
    )


def scores(component, source: int = SOURCE) -> np.ndarray:
    """Scores of ``OLD`` and ``NEW``, shape (2, columns)."""
    found = component.scores(after(source), np.array([0, 2], np.int32), np.array([OLD, NEW], np.int32))
    return found[:, : len(component.columns)]


def mixed(every: int, at: int, gap: float) -> InteractionRows:
    """Clicks on ``OLD``, each ``every``-th on ``NEW``."""
    found = clicks(OLD, BLOCK, at)
    found.item[::every] = NEW
    found.ctx_gap[:] = gap
    return found


def test_transitions_follow_a_new_fashion():
    """One in a thousand for ten million events, then thirty thousand in a row: the new successor leads."""
    transitions = Transitions()
    for k in range(10):
        transitions.learn(rows(mixed(1000, k * BLOCK, 30.0)))
    old, new = scores(transitions)
    assert (old > 10 * new).all()
    transitions.learn(rows(clicks(NEW, 30_000, MANY)))
    old, new = scores(transitions)
    assert (new > old).all()


def test_transitions_keep_the_ratio_of_what_came():
    """Nine to one, ten million times, long after the source: weights of 0.05 still add up, nine to one."""
    transitions = Transitions()
    for k in range(10):
        transitions.learn(rows(mixed(10, k * BLOCK, 1e6)))
    ids, weights = transitions.neighbours(SOURCE)
    for reach in range(len(transitions.columns)):
        heavy = dict(zip(ids.tolist(), weights[:, reach].tolist(), strict=True))
        assert heavy[OLD] / heavy[NEW] == pytest.approx(9.0, rel=0.05)


def test_a_full_row_forgets_smoothly():
    """Around the events that make it forget a row's score moves by less than a twentieth."""
    transitions = Transitions()
    seen = []
    for k in range(400):
        transitions.learn(rows(clicks(OLD, 50, k * 50)))
        seen.append(float(scores(transitions)[0, 0]))
    assert np.abs(np.diff(np.log(seen[100:]))).max() < 0.05
    assert transitions.neighbours(SOURCE)[1].max() <= FULL


def test_popularity_follows_a_new_fashion():
    """The key of an item grows with the stream's length, and still tells apart what came last."""
    popularity = Popularity()
    live(popularity, lambda item, n, at: rows(clicks(item, n, at)), 400)
    old, new = scores(popularity)
    now, ever = 0, popularity.columns.index("popular_ever")
    assert new[now] > old[now] + 1.5
    assert old[ever] > new[ever]
    assert popularity.candidates(after(SOURCE), 2)[0][0, now].tolist() == [NEW, OLD]
    assert np.isfinite(popularity.arena["key"][[OLD, NEW], :3]).all()


def test_factors_follow_each_new_fashion():
    """Squared gradients have grown for ten million events; a burst of either item still turns the ranks."""
    factors = Factors(4, seed=1, step=Step(negatives=2))
    live(factors, lambda item, n, at: rows(clicks(item, n, at)), 0)
    for item in (OLD, NEW, OLD):
        factors.learn(rows(clicks(item, 10_000, MANY)))
        assert np.argmax(scores(factors)[:, 0]) == item - OLD
    assert all(
        np.isfinite(factors.arena[t][:4]).all() for t in ("q", "a", "b", "bias", "q_step", "bias_step")
    )


def test_repeats_follow_a_new_fashion():
    """An own item that came again ten million times, and then never does: its hazard falls behind."""
    repeats = Repeats()
    for k in range(10):
        repeats.learn(rows(clicks(SOURCE, BLOCK, k * BLOCK, source=SOURCE)))
    first = float(repeats.candidates(after(SOURCE), 1)[1][0, 0, 0])
    before = repeats.checksum()
    repeats.learn(rows(clicks(OLD, 1, MANY, source=SOURCE)))
    assert repeats.checksum() != before
    repeats.learn(rows(clicks(OLD, BLOCK, MANY + 1, source=SOURCE)))
    assert float(repeats.candidates(after(SOURCE), 1)[1][0, 0, 0]) < first


def test_the_safe_policy_follows_a_new_fashion():
    """Ten million events of one item, a week's half-life later half as many of another."""
    safe = SafePopularity()
    live(safe, lambda item, n, at: rows(clicks(item, n, at)), 0)
    assert safe.candidates(2).tolist() == [OLD, NEW]
    later = clicks(NEW, 6 * BLOCK, MANY)
    safe.learn(rows(InteractionRows(**{**_columns(later), "ts": later.ts + 7 * 24 * 3_600_000})))
    assert safe.candidates(2).tolist() == [NEW, OLD]


def _columns(columns: InteractionRows) -> dict[str, np.ndarray]:
    return {name: getattr(columns, name) for name in columns.__dataclass_fields__}


@pytest.mark.parametrize(
    ("posterior", "kind", "memory"),
    [(ClickPosterior(), Kind.CLICK, 7), (PurchasePosterior(), Kind.PURCHASE, 30)],
    ids=["click", "purchase"],
)
def test_posteriors_follow_a_new_fashion(posterior, kind, memory):
    """Ten million exposures at a rate of a tenth; after two half-lives without rewards it has fallen."""
    for k in range(10):
        shown = exposures(np.full(BLOCK, OLD), ts=START + k * 1000)
        got = rewards(np.full(BLOCK // 10, OLD), ts=START + k * 1000, kind=kind)
        posterior.learn(rows(shown=shown, got=got))
    alpha, beta = posterior.posterior(np.array([OLD], np.int32))[0]
    before = posterior.checksum()
    posterior.learn(rows(shown=exposures([OLD], ts=START + 20_000)))
    assert posterior.checksum() != before
    later = START + 2 * memory * 24 * 3_600_000
    for day in (0, 1):
        posterior.learn(rows(shown=exposures(np.full(3 * BLOCK, OLD), ts=later + day * 24 * 3_600_000)))
    fallen, fails = posterior.posterior(np.array([OLD], np.int32))[0]
    assert np.isfinite([alpha, beta, fallen, fails]).all()
    assert fallen / (fallen + fails) < 0.6 * alpha / (alpha + beta)


def probes(target: int, n: int, rank: int) -> ProbeRows:
    """Probes of two candidates, each known by a feature of its own."""
    return ProbeRows(
        item=np.ones(n, np.int32),
        user=np.zeros(n, np.uint64),
        ts=np.full(n, START),
        offset=np.arange(n),
        weight=np.ones(n, np.float32),
        arm=np.zeros(n, np.uint8),
        target=np.full(n, target, np.int32),
        cand_start=np.arange(0, 2 * n + 1, 2, dtype=np.int32),
        cand_item=np.tile(np.array([OLD, NEW], np.int32), n),
        features=np.tile(np.eye(2, dtype=np.float32), (n, 1)),
        ranks=np.full((n, 3), rank, np.int16),
        maturity=np.zeros(n, np.uint8),
        gap=np.zeros(n, np.uint8),
        overlap=np.zeros((n, 2), np.float32),
    )


def test_the_head_follows_a_new_fashion():
    """The first candidate is right ten million times, then never: the weights turn round."""
    head = Head(("old", "new"), np.zeros(2))
    turn = probes(0, BLOCK, 1)
    for _ in range(10):
        head.learn(rows(probes=turn, names=head.names))
    weights = head.weights_of(np.zeros(1, np.uint8), np.zeros(1, np.uint8))[0]
    assert weights[0] > weights[1]
    before = head.checksum()
    head.learn(rows(probes=probes(1, 1, 1), names=head.names))
    assert head.checksum() != before
    for _ in range(3):
        head.learn(rows(probes=probes(1, BLOCK, 1), names=head.names))
    weights = head.weights_of(np.zeros(1, np.uint8), np.zeros(1, np.uint8))[0]
    assert weights[1] > weights[0]


def test_the_scoreboard_is_that_of_the_last_probes():
    """Ten million probes at rank 1, then three half-lives of misses: an eighth is left."""
    board = Scoreboard(("one",))
    for _ in range(10):
        board.learn(rows(probes=probes(0, BLOCK, 1)))
    assert board.scores()["fused"]["HR@10"] == pytest.approx(1.0)
    board.learn(rows(probes=probes(0, 6000, 0)))
    assert board.scores()["fused"]["HR@10"] == pytest.approx(0.125, abs=0.001)
    assert board.probes == MANY + 6000
