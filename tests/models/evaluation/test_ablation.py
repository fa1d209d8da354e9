"""Drop-one comparisons."""

import numpy as np
import pytest

from models.engine import Engine
from models.evaluation.ablation import dropped, parts, sentence
from models.evaluation.evaluation import Plan, evaluate
from models.evaluation.walk import LogEvent
from schemas.settings import EngineSettings
from tests.models.evaluation.contests import tally_of


def test_every_component_and_column_is_named_once():
    """Each can be left out; a component with one column is not left out twice."""
    fusion = Engine(EngineSettings()).fusion
    names = parts(fusion)
    assert len(names) == len(set(names))
    assert set(fusion.part_names) <= set(names)
    assert {"transitions.transitions", "popular"} <= set(names)
    assert "factors.factors" not in names
    left = {Engine(EngineSettings(without=(name,))).fusion.columns for name in names}
    assert len(left) == len(names)


def test_of_what_was_left_out_before_nothing_more_is():
    """An ablation of an ablated engine drops what is left."""
    fusion = Engine(EngineSettings(without=("transitions", "popularity"))).fusion
    assert parts(fusion) == ("factors", "repeats", "content")


def test_a_difference_is_paired_and_signed():
    """Without a useful part the list is worse: negative, and beyond chance."""
    log = [LogEvent(f"u{n % 50}", "x", float(n)) for n in range(400)]
    whole = tally_of(log, [{"fused": 1}] * 400)
    less = tally_of(log, [{"fused": 2 if n >= 200 else 1} for n in range(400)])
    row = dropped("factors", whole, less)
    assert row.difference == pytest.approx((1 / np.log2(3) - 1) / 2)
    assert row.low <= row.difference <= row.high < 0
    assert row.last_half == pytest.approx(1 / np.log2(3) - 1)
    assert row.hit_rate == 1.0
    assert "factors (-18.5 %)" in sentence([row], 1.0)
    assert "no part is missed" in sentence([dropped("factors", whole, whole)], 1.0)
    harmful = dropped("repeats", less, whole)
    assert "is better beyond chance: repeats (+22.6 %)" in sentence([harmful], less.mean("fused"))


def test_walks_of_different_events_are_refused():
    """A paired difference needs the same tests."""
    log = [LogEvent("a", "x", float(n)) for n in range(10)]
    places = [{"fused": 1}] * 10
    with pytest.raises(ValueError, match="different events"):
        dropped("factors", tally_of(log, places), tally_of(log, places, every=2))


@pytest.mark.slow
def test_the_part_that_carries_a_stream_is_missed():
    """On a walk along a ring, transitions and factors know what comes; popularity does not."""
    rng = np.random.default_rng(0)
    place, log = rng.integers(0, 40, 10), []
    for n in range(1500):
        user = int(rng.integers(10))
        place[user] = (place[user] + 1) % 40
        log.append(LogEvent(f"u{user}", f"i{place[user]}", 60.0 * n))
    plan = Plan(EngineSettings(factors=8), keep_seen=True)
    whole = evaluate(plan, log, {})
    rows = [dropped("x", whole, evaluate(plan.without(*names), log, {})) for names in (
        ("transitions", "factors"), ("popularity",),
    )]  # fmt: skip
    assert rows[0].high < 0
    assert rows[0].difference < rows[1].difference
