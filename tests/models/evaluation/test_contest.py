"""A test of all contestants says what the engine would have listed."""

import numpy as np
import pytest

from models.engine import ListRequest
from models.evaluation.contest import contest
from models.evaluation.session import Session
from models.evaluation.walk import LogEvent
from schemas.settings import EngineSettings

NOW = 10**9


@pytest.mark.parametrize("exclude", [True, False])
def test_the_fused_place_is_that_in_the_list(small_engine, exclude):
    """Whatever the item: its place in the list of a hundred, its first ten, and who stands above."""
    engine, shard = small_engine
    engine.seen = exclude
    listed = engine.items.ids_of(engine.rank([ListRequest(shard=shard, user_id="u1", k=100)], now=NOW).slot)
    for n in range(31):
        found = contest(engine, ListRequest(shard=shard, user_id="u1", k=1), f"i{n}", now=NOW)
        place = listed.index(f"i{n}") + 1 if f"i{n}" in listed else 0
        assert found.ranks["fused"] == place
        assert found.top["fused"] == listed[:10]
        assert found.above == listed[: max(place - 1, 0)]
    assert "i30" not in listed


def test_components_and_rank_fusion_compete(small_engine):
    """Each column's own list, and the sum of reciprocal ranks over them."""
    engine, shard = small_engine
    request = ListRequest(shard=shard, user_id="u1", k=1)
    items = [f"i{n}" for n in range(30)]
    places = {item: contest(engine, request, item, now=NOW).ranks for item in items}
    score = {
        item: sum(1 / (60 + places[item][c]) for c in engine.fusion.columns if places[item][c])
        for item in items
    }
    for item in items:
        if score[item] == 0:
            assert places[item]["rrf"] == 0
            continue
        above = sum(score[other] > score[item] + 1e-6 for other in items)
        equal = sum(abs(score[other] - score[item]) <= 1e-6 for other in items)
        assert above < places[item]["rrf"] <= above + equal
    top = contest(engine, request, "i1", now=NOW).top["popular"]
    assert [places[item]["popular"] for item in top] == list(range(1, len(top) + 1))


def test_rank_fusion_stands_in_until_the_head_has_learned():
    """The list of the first events is the one that production would have given."""
    session = Session(EngineSettings(factors=8, probes_per_second=1e9), exclude_seen=False)
    for n in range(12):
        session.observe(LogEvent(f"u{n % 3}", f"i{n % 5}", 100.0 * n))
    found = session.test(LogEvent("u1", "i2", 2000.0))
    assert not found.lists.fused
    assert found.top["fused"] == session.recommend("u1", 10, 2000.0, exclude_seen=False)
    assert found.ranks["fused"] == found.ranks["rrf"] > 0


def test_an_empty_engine_lists_nothing():
    """No event, no item: places 0 and empty lists, no error."""
    found = Session(EngineSettings(), exclude_seen=True).test(LogEvent("u", "i", 5.0))
    assert set(found.ranks.values()) == {0}
    assert not any(found.top.values())
    assert np.diff(found.lists.list_start).tolist() == [0]
