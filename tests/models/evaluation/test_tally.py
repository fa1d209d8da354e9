"""What a walk counts."""

import numpy as np
import pytest

from models.evaluation.contest import contest
from models.evaluation.curves import curves, usual
from models.evaluation.tally import STRUCK, Tally
from models.evaluation.walk import LogEvent, walk
from models.requests import ListRequest
from tests.models.evaluation.contests import made_up, tally_of


def ring(n):
    """Events of eight people, two a minute."""
    return [LogEvent(f"u{i % 8}", f"i{i % 20}", 30.0 * i) for i in range(n)]


def test_segments_have_their_own_means_and_intervals():
    """A contestant that is right in the second half only."""
    log = ring(200)
    tally = tally_of(log, [{"fused": 1 if n >= 100 else 0, "other": 2} for n in range(200)])
    found = tally.summaries()
    assert found["fused"]["all"]["NDCG@10"] == pytest.approx(0.5)
    late = found["fused"]["last50"]
    assert (late["n"], late["HR@10"], late["HR@10_low"], late["HR@10_high"]) == (100, 1.0, 1.0, 1.0)
    assert found["fused"]["cold_user"]["NDCG@10"] == 0.0
    assert found["other"]["all"]["HR@10_low"] == found["other"]["all"]["HR@10_high"] == 1.0
    assert set(found["fused"]) >= {"coverage@10", "novelty@10", "ILD@10"}
    assert found["fused"]["all"]["NDCG@10_low"] <= 0.5 <= found["fused"]["all"]["NDCG@10_high"]


def test_an_advantage_is_paired():
    """Two contestants that fail together differ surely, though each alone is uncertain."""
    rng = np.random.default_rng(0)
    easy = rng.random(400) < 0.3
    log = [LogEvent(f"u{i}", "x", float(i)) for i in range(400)]
    tally = tally_of(log, [{"fused": 3, "other": 4} if e else {"fused": 0, "other": 0} for e in easy])
    mean, low, high = tally.advantage("fused", "other")
    assert 0 < low < mean < high
    alone = tally.summaries()
    assert alone["fused"]["all"]["NDCG@10_low"] < alone["other"]["all"]["NDCG@10_high"]
    assert tally.advantage("fused", "other", "warm") == (0.0, 0.0, 0.0)


def test_own_items_are_struck_out():
    """A list's place without own items: those above go, and an own item itself is gone."""
    log = [LogEvent("a", "x", 1), LogEvent("a", "y", 2), LogEvent("a", "x", 3), LogEvent("a", "z", 4)]
    above = [[], ["x", "q"], [], ["x", "y", "q"]]
    tally = Tally({})
    for step in walk(log, keep_seen=True):
        place = len(above[step.number]) + 1
        tally.test(step, made_up({"fused": place}, above=above[step.number]))
        tally.learn(step)
    assert tally.struck == [1, 2, 0, 2]
    assert tally.gains(STRUCK)[2] == 0.0


def test_scored_lists_are_explained(small_engine):
    """Reliability and margins see lists of a head that has learned."""
    engine, shard = small_engine
    tally = Tally({})
    for step in walk([LogEvent(f"u{n % 12}", f"i{n % 30}", 1e6 + n) for n in range(40)], keep_seen=True):
        request = ListRequest(shard=shard, user_id=step.event.user, k=1)
        tally.test(step, contest(engine, request, step.event.item, now=10**9))
    assert tally.reliability.tests == 40
    assert tally.margins is not None
    assert tally.margins.names == engine.fusion.part_names
    assert sum(b["observed"] * b["n"] for b in tally.reliability.table()) == pytest.approx(
        40 * tally.reliability.share
    )


def test_curves_follow_the_stream():
    """A contestant that becomes right halfway rises; points name events of the log."""
    log = ring(1200)
    places = [{"fused": int(n >= 600), "weak": 0, "popular": 5} for n in range(1200)]
    tally = tally_of(log, places, every=2)
    found = curves(tally, usual(tally, ("weak", "popular"), "popular"))
    assert list(found) == ["event", "fused", "best single (popular)"]
    assert found["event"] == sorted(found["event"])
    assert found["event"][-1] == 1198
    assert (found["fused"][0], found["fused"][-1]) == (0.0, 1.0)
    assert len({len(v) for v in found.values()}) == 1
