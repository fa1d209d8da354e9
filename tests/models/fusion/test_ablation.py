"""An engine without a part: it neither proposes nor counts, and everything else is as before."""

import numpy as np
import pytest

from models.engine import Engine, ListRequest
from models.evaluation.contest import contest
from schemas.errors import SettingsError, SnapshotError
from schemas.events import Click
from schemas.settings import EngineSettings, ExperimentSettings
from tests.models.conftest import feed

NOBODY = ExperimentSettings(name="test", holdout=0.0)


def engine_without(*names):
    """An engine of 16 factors, fed with the ring."""
    engine = Engine(EngineSettings(factors=16, without=names), experiment=NOBODY, seed=1)
    shard = engine.open_shard(0)
    feed(engine, shard)
    return engine, shard


def ranked(engine, shard, user="u1"):
    """A person's whole list with its parts."""
    return engine.rank([ListRequest(shard=shard, user_id=user, k=30)], now=10**9)


@pytest.mark.parametrize("names", [("transitions",), ("factors", "popular"), ("count", "new_content")])
def test_a_part_left_out_has_no_column_and_no_weight(small_engine, names):
    """Its names are gone from columns and features; what is left keeps its own figures bit for bit."""
    whole, _ = small_engine
    engine, shard = engine_without(*names)
    gone = {f for f, o in zip(whole.fusion.every, owners(whole), strict=True) if {f, o} & set(names)}
    assert set(whole.fusion.feature_names) - set(engine.fusion.feature_names) == gone
    click = Click(event_id="x", user_id="u1", item_id="i1", ts=10**9)
    at = {"offsets": np.array([shard.applied + 1]), "broker_ts": np.array([10**9])}
    block = engine.observe(shard, [click], **at)
    assert block.probes.features.shape[1] == len(block.feature_names) == len(engine.fusion.feature_names)
    assert block.probes.ranks.shape[1] == len(engine.fusion.columns) + 2
    for name in set(names) & set(engine.fusion.part_names):
        parts = ranked(engine, shard).parts[:, engine.fusion.part_names.index(name)]
        assert not parts.any()


def owners(engine):
    """The component of every feature."""
    return [engine.fusion.part_names[p] for p in engine.fusion.part_of]


def test_what_is_left_is_learned_as_before(small_engine):
    """Folds other than the head and the scoreboard do not notice; features that stay are equal."""
    whole, whole_shard = small_engine
    engine, shard = engine_without("transitions_minute")
    sums = {k: v for k, v in whole.log.checksums().items() if k not in {"head", "scoreboard"}}
    assert {k: engine.log.checksums()[k] for k in sums} == sums
    click = Click(event_id="x", user_id="u1", item_id="i1", ts=10**9)
    at = {"offsets": np.array([shard.applied + 1]), "broker_ts": np.array([10**9])}
    full, less = (e.observe(s, [click], **at) for e, s in ((whole, whole_shard), (engine, shard)))
    stay = [full.feature_names.index(name) for name in less.feature_names]
    ids = [[b.items[i] for i in b.probes.cand_item] for b in (full, less)]
    both = [i for i in ids[1] if i in ids[0]]
    assert both
    for item in both:
        mine, theirs = less.probes.features[ids[1].index(item)], full.probes.features[ids[0].index(item)]
        np.testing.assert_array_equal(mine, theirs[stay])


def test_only_what_is_left_proposes():
    """With popularity alone the fused list holds what its columns list, and nothing else."""
    others = ("transitions", "factors", "repeats", "content")
    engine = Engine(EngineSettings(factors=16, candidates=10, without=others), experiment=NOBODY)
    shard = engine.open_shard(0)
    feed(engine, shard)
    request = ListRequest(shard=shard, user_id="u1", k=1)
    places = [contest(engine, request, f"i{n}", now=10**9).ranks for n in range(30)]
    assert set(places[0]) == {*engine.popularity.columns, "fused", "rrf"}
    proposed = [any(place[name] for name in engine.popularity.columns) for place in places]
    assert 0 < sum(proposed) < 30
    assert [place["fused"] > 0 for place in places] == proposed


def test_probes_of_the_whole_engine_are_passed_over(small_engine):
    """A log of another set of features trains the components and not the head."""
    whole, whole_shard = small_engine
    click = Click(event_id="x", user_id="u1", item_id="i1", ts=10**9)
    block = whole.observe(
        whole_shard, [click], np.array([whole_shard.applied + 1]), broker_ts=np.array([10**9])
    )
    engine, _ = engine_without("factors")
    before = engine.head.probes
    assert engine.learn(block) is not None
    assert engine.head.probes == before > 0


def test_a_snapshot_of_other_features_is_refused(small_engine):
    """Nothing is restored; the sentence names the features."""
    whole, _ = small_engine
    engine, _ = engine_without("transitions_minute")
    before = engine.snapshot()
    with pytest.raises(SnapshotError, match="transitions_minute"):
        engine.restore(whole.snapshot())
    assert engine.snapshot() == before


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("factor",), "'factor': no such part; the nearest is factors"),
        (("popularity", "transitions", "factors", "repeats", "content"), "no score is left"),
    ],
)
def test_a_name_that_is_no_part_is_an_error(names, said):
    """It names the nearest part, or what must stay."""
    with pytest.raises(SettingsError, match=said):
        Engine(EngineSettings(without=names))
