"""The façade: events to rows to lists, snapshots, liveness, filters, odd input."""

import numpy as np
import pytest

from models.engine import Engine, ListRequest
from models.requests import Batch
from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.errors import SnapshotError
from schemas.events import Click
from schemas.ladder import Rung
from schemas.settings import EngineSettings, ExperimentSettings
from tests.models.conftest import feed

NOW = 10**12


def listed(engine, shard, user="u1", k=10, **kwargs):
    """Ids of a person's list, best first."""
    lists = engine.rank([ListRequest(shard=shard, user_id=user, k=k, **kwargs)], now=NOW)
    return engine.items.ids_of(lists.slot.tolist())


def test_a_list_follows_the_last_click(small_engine):
    """On a ring, what comes next is listed high."""
    engine, shard = small_engine
    click = Click(event_id="last", user_id="new", item_id="i5", ts=NOW)
    engine.observe(shard, [click], np.array([shard.applied + 1]), broker_ts=np.array([NOW]))
    assert set(listed(engine, shard, "new", 4)) & {"i6", "i7"}


def test_own_items_are_kept_off_where_asked(small_engine):
    """``exclude_seen`` holds for the request; without it own items may come."""
    engine, shard = small_engine
    own = set(engine.items.ids_of(shard.contexts(shard.slots_of(["u1"]), np.array([NOW])).seen_slot.tolist()))
    assert not own & set(listed(engine, shard, k=30, exclude_seen=True))
    assert own & set(listed(engine, shard, k=30, exclude_seen=False))


def test_delisted_and_sold_out_items_are_never_listed(small_engine):
    """Liveness applies before ranking and comes back with a new description."""
    engine, shard = small_engine
    first = listed(engine, shard)[0]
    engine.delist([first])
    assert first not in listed(engine, shard, k=30)
    engine.describe([Item(item_id=first, title="back again")])
    assert first in listed(engine, shard, k=30)
    engine.describe([Item(item_id=first, title="sold out", stock=0)])
    assert first not in listed(engine, shard, k=30)


def test_candidates_and_filters_restrict(small_engine):
    """Only what a request allows is ranked, mixed batches included."""
    engine, shard = small_engine
    engine.describe(
        [Item(item_id=f"i{n}", categories=("even",) if n % 2 == 0 else ("odd",)) for n in range(30)]
    )
    assert set(listed(engine, shard, k=30, candidates=("i1", "i2", "nowhere"))) == {"i1", "i2"}
    assert all(int(i[1:]) % 2 for i in listed(engine, shard, k=30, filters={"category": "odd"}))
    both = engine.rank(
        [
            ListRequest(shard=shard, user_id="u1", k=5),
            ListRequest(shard=shard, user_id="u2", k=5, candidates=("i3",)),
        ],
        now=NOW,
    )
    assert np.diff(both.list_start).tolist() == [5, 1]


def test_batches_equal_single_requests(small_engine):
    """A person's list does not depend on who else asks."""
    engine, shard = small_engine
    together = engine.rank([ListRequest(shard=shard, user_id=f"u{n}", k=10) for n in range(12)], now=NOW)
    for n in range(12):
        mine = together.slot[together.list_start[n] : together.list_start[n + 1]]
        assert engine.items.ids_of(mine.tolist()) == listed(engine, shard, f"u{n}")


def test_a_batch_is_drawn_as_the_shards_were(small_engine):
    """Events that are applied after a batch was made change nothing of its lists."""
    engine, shard = small_engine
    requests = [ListRequest(shard=shard, user_id=f"u{n}", k=10, trigger_id=f"t{n}") for n in range(8)]
    before = engine.recommend(requests, now=NOW, seed=3)
    batch = Batch.of(requests, NOW)
    clicks = [Click(event_id=f"x{n}", user_id=f"u{n}", item_id=f"new{n}", ts=NOW) for n in range(8)]
    offsets = np.arange(8) + shard.applied + 1
    engine.apply(shard, clicks, offsets, broker_ts=np.full(8, NOW))
    assert engine.draw(batch, seed=3) == before
    assert engine.recommend(requests, now=NOW, seed=3) != before


def test_items_may_come_while_a_batch_is_drawn(small_engine, monkeypatch):
    """A request names items that an event brings at that very moment: past the end of what was known."""
    engine, shard = small_engine
    free = ListRequest(shard=shard, user_id="u1", k=3)
    named = ListRequest(shard=shard, user_id="u2", k=3, candidates=tuple(f"new{n}" for n in range(300)))
    opinions = engine.scorer.opinions

    def meanwhile(*args, **options):
        engine.items.intern_many(named.candidates)
        return opinions(*args, **options)

    monkeypatch.setattr(engine.scorer, "opinions", meanwhile)
    lists = engine.recommend([free, named], now=NOW, seed=1)
    assert [len(made.recommendation.items) for made in lists] == [3, 3]


def test_a_cheap_rung_knows_items_that_have_just_come(small_engine):
    """Before any whole list has made room for them."""
    engine, shard = small_engine
    engine.items.intern_many(f"new{n}" for n in range(300))
    named = ListRequest(shard=shard, user_id="u2", k=3, candidates=("new299", "new7"))
    (made,) = engine.recommend([named], now=NOW, seed=1, rung=Rung.SEGMENT)
    assert {item.item_id for item in made.recommendation.items} == {"new299", "new7"}


def test_some_of_a_batch(small_engine):
    """Requests, arms and contexts of the rows asked for, in that order."""
    engine, shard = small_engine
    requests = [ListRequest(shard=shard, user_id=f"u{n}", k=10, trigger_id=f"t{n}") for n in range(5)]
    batch = Batch.of(requests, NOW)
    some, alike = batch.some([3, 1]), Batch.of([requests[3], requests[1]], NOW)
    assert (some.requests, some.arms) == (alike.requests, alike.arms)
    assert engine.draw(some, seed=2) == engine.draw(alike, seed=2)


def test_snapshot_restores_the_lists(small_engine):
    """A restored engine gives the same lists for the same user state, and goes on alike."""
    engine, shard = small_engine
    twin = Engine(EngineSettings(factors=16), experiment=ExperimentSettings(name="test", holdout=0.0), seed=1)
    other = twin.open_shard(0)
    feed(twin, other)
    fresh = Engine(
        EngineSettings(factors=16), experiment=ExperimentSettings(name="test", holdout=0.0), seed=9
    )
    fresh.restore(engine.snapshot())
    assert fresh.snapshot() == engine.snapshot() == twin.snapshot()
    assert fresh.log.checksums() == engine.log.checksums()
    assert listed(twin, other) == listed(engine, shard)


def test_a_snapshot_of_other_settings_is_refused_whole(small_engine):
    """Factors of another width, or other features: the error names the setting, and nothing has changed."""
    engine, _ = small_engine
    for settings, said in (
        (EngineSettings(factors=32), "engine.factors = 32: learned with 16: set that, or rebuild"),
        (EngineSettings(factors=16, without=("repeats",)), "learned with other features"),
    ):
        other = Engine(settings, seed=1)
        before = other.snapshot()
        with pytest.raises(SnapshotError, match=said):
            other.restore(engine.snapshot())
        assert other.snapshot() == before


def test_a_block_learned_twice_counts_once(small_engine):
    """Redelivered blocks are recognised by their cover."""
    engine, shard = small_engine
    click = Click(event_id="x", user_id="u1", item_id="i1", ts=NOW)
    block = engine.observe(shard, [click], np.array([shard.applied + 1]), broker_ts=np.array([NOW]))
    assert engine.learn(block) is not None
    before = engine.snapshot()
    assert engine.learn(block) is None
    assert engine.snapshot() == before


def test_probes_are_in_the_block(small_engine):
    """A probe row carries features of the event's list before the event, and the item's places."""
    engine, shard = small_engine
    click = Click(event_id="x", user_id="u1", item_id="i1", ts=NOW)
    block = engine.observe(shard, [click], np.array([shard.applied + 1]), broker_ts=np.array([NOW]))
    assert len(block.probes) == 1
    assert block.probes.features.shape[1] == len(block.feature_names) == len(engine.fusion.feature_names)
    assert block.probes.ranks.shape == (1, len(block.component_names) + 2)
    assert block.items[int(block.probes.item[0])] == "i1"
    target = int(block.probes.target[0])
    assert target >= 0
    assert block.items[int(block.probes.cand_item[target])] == "i1"


def test_empty_engine_and_strangers():
    """No catalogue, no events, nobody known: an empty list, no error."""
    engine = Engine(EngineSettings())
    shard = engine.open_shard(0)
    assert listed(engine, shard, "nobody") == []
    assert engine.recommend([], now=NOW, seed=1) == []


def test_embeddings_replace_hashed_texts(small_engine):
    """Vectors of an encoder serve once most described items have one; a zero vector is left out."""
    engine, shard = small_engine
    engine.describe([Item(item_id=f"i{n}", title=f"thing number {n}") for n in range(30)])
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=24).astype(np.float32) for _ in range(30)]
    vectors.append(np.zeros(24, np.float32))
    engine.embed(
        [
            Embedding.of(v, item_id=f"i{n}", model="m", version="1", modality="text", text_hash="h", ts=0)
            for n, v in enumerate(vectors)
        ]
    )
    assert engine.content.n_encoded == 30
    lists = engine.rank([ListRequest(shard=shard, user_id="u1", k=10)], now=NOW)
    assert np.isfinite(lists.utility).all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_probe_share(share):
    """No probe at share 0, one per scorable event at share 1 while the budget lasts."""
    engine = Engine(
        EngineSettings(probe_share=share, probes_per_second=50.0),
        experiment=ExperimentSettings(name="test", holdout=0.0),
    )
    shard = engine.open_shard(0)
    clicks = [Click(event_id=f"e{n}", user_id=f"u{n}", item_id=f"i{n % 9}", ts=NOW) for n in range(200)]
    block = engine.observe(shard, clicks, np.arange(200), broker_ts=np.full(200, NOW))
    assert len(block.probes) == (50 if share else 0)


def clicks(pattern):
    """Clicks of ten people, one a minute; ``pattern(n)`` is the item of event n."""
    return [
        Click(event_id=f"x{n}", user_id=f"u{n % 10}", item_id=pattern(n), ts=NOW + 60_000 * n)
        for n in range(600)
    ]


@pytest.mark.parametrize(
    ("pattern", "excluded"),
    [(lambda n: f"once{n}", True), (lambda n: f"staple{n % 70}", False)],
)
def test_own_items_are_kept_off_where_nobody_takes_them_again(pattern, excluded):
    """``exclude_seen = "auto"`` follows the stream, and a restored engine goes on so."""
    engine = Engine(EngineSettings(factors=8))
    assert not engine.exclude_seen
    shard = engine.open_shard(0)
    feed_all(engine, shard, clicks(pattern))
    assert engine.exclude_seen is excluded
    twin = Engine(EngineSettings(factors=8))
    twin.restore(engine.snapshot())
    assert twin.exclude_seen is excluded
    assert Engine(EngineSettings(exclude_seen=True)).exclude_seen


def feed_all(engine, shard, events):
    """Observe and learn in runs of 50."""
    for n in range(0, len(events), 50):
        some = events[n : n + 50]
        offsets = np.arange(shard.applied + 1, shard.applied + 1 + len(some))
        engine.learn(engine.observe(shard, some, offsets, broker_ts=np.array([e.ts for e in some])))


def test_sampled_candidates_of_a_probe_stand_for_the_rest():
    """What a probe's candidates stand for sums to about all candidates; the item that came counts once."""
    engine = Engine(EngineSettings(factors=8, exclude_seen=True))
    shard = engine.open_shard(0)
    rng = np.random.default_rng(2)
    events = [
        Click(event_id=f"y{n}", user_id=f"u{n % 40}", item_id=f"i{rng.integers(300)}", ts=NOW + 1000 * n)
        for n in range(3000)
    ]
    feed_all(engine, shard, events[:-50])
    offsets = np.arange(shard.applied + 1, shard.applied + 51)
    rows = engine.observe(
        shard, events[-50:], offsets, broker_ts=np.array([e.ts for e in events[-50:]])
    ).probes
    sampled = rows.features[:, engine.fusion.feature_names.index("sampled")]
    targets = rows.cand_start[:-1][rows.target >= 0] + rows.target[rows.target >= 0]
    assert (sampled[targets] == 0.0).all()
    stands = np.add.reduceat(np.exp(sampled), rows.cand_start[:-1])
    assert (stands > 100).all()
    assert np.diff(rows.cand_start).max() < stands.min()


def test_items_without_an_event_are_judged_by_content_alone(small_engine):
    """What folds would say of an unknown item does not count; its content does."""
    engine, shard = small_engine
    engine.describe(
        [Item(item_id="i5", title="red tea kettle"), Item(item_id="fresh", title="red tea kettle")]
    )
    engine.describe([Item(item_id=f"i{n}", title=f"thing {n}") for n in range(6, 20)])
    click = Click(event_id="z", user_id="new", item_id="i5", ts=NOW)
    engine.observe(shard, [click], np.array([shard.applied + 1]), broker_ts=np.array([NOW]))
    request = [ListRequest(shard=shard, user_id="new", k=5, candidates=("fresh", "i6"))]
    lists = engine.rank(request, now=NOW)
    parts = dict(
        zip(
            lists.part_names,
            lists.parts[engine.items.ids_of(lists.slot.tolist()).index("fresh")],
            strict=True,
        )
    )
    assert all(value == 0.0 for name, value in parts.items() if name != "content")
    assert parts["content"] != 0.0


def test_a_snapshot_of_which_one_fold_does_not_fit_changes_nothing(small_engine, monkeypatch):
    """The last fold is of another version: the first ones are as they were, not half restored."""
    engine, shard = small_engine
    data = engine.snapshot()
    feed_all(engine, shard, clicks(lambda n: f"later{n % 9}"))
    before = engine.log.checksums()
    monkeypatch.setattr(type(engine.log.folds[-1]), "VERSION", 99)
    with pytest.raises(SnapshotError, match="version 99"):
        engine.restore(data)
    monkeypatch.undo()
    assert engine.log.checksums() == before
    engine.restore(data)
    assert engine.log.checksums() != before
