"""Similar items and trends: what they name, what they never name, and when they say nothing."""

import numpy as np
import pytest
from scipy import stats

from models.components.popularity import HALF_LIVES
from models.engine import Engine
from models.related import COMPARED, KINDS, unknown
from models.similar import merge, nearest_factors
from models.trending import ALARM, FLOOR, rising, totals
from schemas.catalogue import Item
from schemas.errors import InvalidMessageError
from schemas.events import Click
from schemas.settings import EngineSettings

NOW = 10**12


def ids(found):
    return [item.item_id for item in found.items]


def test_on_a_ring_the_neighbours_are_similar(small_engine):
    """People walk a ring of items by steps of one and two: the next and the former come first."""
    engine, _ = small_engine
    found = engine.similar("i10", 4)
    assert ids(found)[0] in {"i8", "i9", "i11", "i12"}
    assert len({"i8", "i9", "i11", "i12"} & set(ids(found))) >= 3
    assert found.model == engine.model
    for item in engine.similar("i10", 20).items:
        assert set(item.parts) == set(KINDS)
        assert item.score == sum(item.parts.values()) > 0.0
    scores = [item.score for item in engine.similar("i10", 20).items]
    assert scores == sorted(scores, reverse=True)
    assert "i10" not in ids(engine.similar("i10", 200))


def test_an_item_with_a_text_only_has_neighbours(small_engine):
    """Nobody touched it: what it says is all there is, and the part says so."""
    engine, _ = small_engine
    engine.describe(
        [
            Item(item_id="new", title="green tea from the mountains"),
            Item(item_id="i3", title="black tea from the mountains"),
            Item(item_id="i4", title="a bicycle pump"),
        ]
    )
    found = engine.similar("new", 5)
    assert ids(found)[0] == "i3"
    assert "i4" not in ids(found)
    assert {name for name, value in found.items[0].parts.items() if value} == {"content"}
    assert "new" in ids(engine.similar("i3", 30))


def test_a_known_item_of_which_nothing_is_known_has_no_neighbours():
    """No text, no event: an empty list, not an error."""
    engine = Engine(EngineSettings())
    engine.describe([Item(item_id="bare"), Item(item_id="other", title="tea")])
    assert engine.similar("bare").items == ()


def test_delisted_items_are_in_neither_list(small_engine):
    """They come back when they are described again; neighbours of a delisted item may be asked for."""
    engine, shard = small_engine
    surge(engine, shard, "i7", 60)
    gone = [*ids(engine.similar("i6", 3)), "i7"]
    assert ids(engine.trending()) == ["i7"]
    engine.delist(gone)
    assert not set(gone) & set(ids(engine.similar("i6", 200)))
    assert engine.trending().items == ()
    assert engine.similar("i7", 3).items
    engine.describe([Item(item_id="i7", title="again")])
    assert ids(engine.trending()) == ["i7"]


def surge(engine, shard, item, n):
    """``n`` clicks of as many people."""
    for _ in range(n):
        offset = shard.applied + 1
        ts = 1_000_000 + offset * 30_000
        click = Click(event_id=f"s{offset}", user_id=f"s{offset}", item_id=item, ts=ts)
        engine.learn(engine.observe(shard, [click], np.array([offset]), broker_ts=np.array([ts])))


def test_a_surge_is_a_trend_and_one_event_is_none(small_engine):
    """Even shares: nothing rises.  One click on a new item: nothing.  Sixty on one: it alone."""
    engine, shard = small_engine
    assert engine.trending().items == ()
    surge(engine, shard, "brand new", 1)
    assert engine.trending().items == ()
    surge(engine, shard, "i7", 60)
    found = engine.trending().items
    assert [item.item_id for item in found] == ["i7"]
    assert found[0].lift == pytest.approx(found[0].recent / found[0].usual)
    assert found[0].lift > 1.0
    assert found[0].score > 0.0


def decayed(stream, items, half):
    """Masses by definition."""
    age = np.arange(len(stream))[::-1]
    columns = [np.bincount(stream, 0.5 ** (age / h), minlength=items) for h in half]
    return np.stack(columns, axis=1)


def test_even_streams_raise_few_alarms():
    """200 streams of a Zipf law that never changes: alarms in at most as many as the bound allows.

    By the binomial law: more than 25 of 200 at 5 % has probability 2e-5.
    """
    rng = np.random.default_rng(7)
    half, share = np.array([200.0, 1_000.0, 5_000.0]), 1.0 / np.arange(1, 301)
    alarms = 0
    for _ in range(200):
        stream = 1 + rng.choice(300, 20_000, p=share / share.sum())
        alarms += len(rising(decayed(stream, 301, half), half, len(stream)).item) > 0
    assert alarms <= stats.binom.ppf(1 - 2e-5, 200, ALARM)


def test_a_risen_item_is_found_beside_popular_ones():
    """An item whose share goes from 0.1 % to 5 % in the last 300 events is the only one that is named."""
    rng = np.random.default_rng(8)
    half, share = np.array([200.0, 5_000.0]), 1.0 / np.arange(1, 301)
    before = 1 + rng.choice(300, 20_000, p=share / share.sum())
    late = np.where(rng.random(300) < 0.05, 200, 1 + rng.choice(300, 300, p=share / share.sum()))
    stream = np.concatenate([before, late])
    found = rising(decayed(stream, 301, half), half, len(stream))
    assert found.item.tolist() == [200]
    assert found.recent[0] >= FLOOR
    assert found.recent[0] / found.usual[0] > 5


def test_a_slow_rise_shows_at_the_longer_of_the_short_half_lives():
    """A share that goes from 0.1 % to 1 % over 2,500 events, thirty times: mostly found, else rarely."""
    share, found = 1.0 / np.arange(1, 301), {2: 0, 3: 0}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        before = 1 + rng.choice(300, 20_000, p=share / share.sum())
        late = np.where(rng.random(2_500) < 0.01, 200, 1 + rng.choice(300, 2_500, p=share / share.sum()))
        stream = np.concatenate([before, late])
        for half in ([200.0, 30_000.0], [200.0, 1_000.0, 30_000.0]):
            named = rising(decayed(stream, 301, half), np.array(half), len(stream)).item.tolist()
            found[len(half)] += named == [200]
    assert found[3] >= 24
    assert found[2] <= 12


def test_nothing_rises_before_there_was_anything():
    """An engine that has learned nothing, and a stream shorter than the short half-life."""
    assert Engine(EngineSettings()).trending().items == ()
    half = np.array([200.0, 5_000.0])
    stream = np.array([1] * 30 + [2] * 10)
    assert len(rising(decayed(stream, 3, half), half, len(stream)).item) == 0
    assert totals(half, 40) == pytest.approx([sum(0.5 ** (n / h) for n in range(40)) for h in half])


def test_masses_are_those_of_popularity(small_engine):
    """What the engine compares is what the definition says of its own log."""
    engine, shard = small_engine
    surge(engine, shard, "i7", 60)
    item = engine.trending().items[0]
    total = totals(np.array(HALF_LIVES), int(engine.popularity.clock[0]))
    slot, general = engine.log.items.lookup("i7"), len(HALF_LIVES)
    mass = 2.0 ** (engine.popularity.arena["key"][slot] - engine.popularity.offsets())[:general]
    assert item.recent == pytest.approx(mass[0])  # a burst: at the shortest half-life
    assert item.usual == pytest.approx(mass[-1] * total[0] / total[-1])


def test_nothing_rises_where_the_law_never_changes():
    """Whatever the situations that people are in: what a few of them do is no measure of what is usual."""
    engine = Engine(EngineSettings(factors=16), seed=1)
    shard, rng = engine.open_shard(0), np.random.default_rng(5)
    share = 1.0 / np.arange(1, 61)
    for first in range(0, 1_500, 100):
        offsets = np.arange(first, first + 100)
        items = rng.choice(60, 100, p=share / share.sum()).tolist()
        users = rng.integers(50, size=100).tolist()
        clicks = [
            Click(event_id=f"e{n}", user_id=f"u{u}", item_id=f"i{i}", ts=60_000 * n)
            for n, i, u in zip(offsets.tolist(), items, users, strict=True)
        ]
        engine.learn(engine.observe(shard, clicks, offsets, broker_ts=60_000 * offsets))
    assert engine.trending().items == ()


def test_snapshots_give_the_same_answers(small_engine):
    """Offline on a snapshot as online, but for what the catalogue says."""
    engine, shard = small_engine
    surge(engine, shard, "i7", 60)
    other = Engine(EngineSettings(factors=16), seed=1)
    other.restore(engine.snapshot())
    assert other.similar("i10", 20) == engine.similar("i10", 20)
    assert other.trending() == engine.trending()


@pytest.mark.parametrize("k", [0, -3, 201])
def test_lengths_are_bounded(small_engine, k):
    """The error names the field, the value and what would do."""
    engine, _ = small_engine
    for ask in (lambda: engine.similar("i1", k), lambda: engine.trending(k)):
        with pytest.raises(InvalidMessageError, match=f"^k: {k}: ask for 1 to 200 items$"):
            ask()


def test_an_unknown_item_gets_the_nearest_names(small_engine):
    """Letter by letter; among many ids only plausible ones are compared."""
    engine, _ = small_engine
    with pytest.raises(
        InvalidMessageError, match=r"^item: 'i77': no such item; the nearest are i7, i27, i17$"
    ) as caught:
        engine.similar("i77")
    assert caught.value.field == "item"
    many = (f"product-{n}" for n in range(50 * COMPARED))
    assert "product-249999" in str(unknown("product-249999x", many))


def test_merging_counts_kinds_alike():
    """A kind with four lists weighs as much as a kind with one; order among equals is by slot."""
    a = [np.array([5, 6, 0], np.int32)] * 4
    b = [np.array([6, 7], np.int32)]
    found = merge([a, b, [np.zeros(0, np.int32)]], 10)
    assert found.item.tolist() == [6, 5, 7]
    assert found.parts[0] == pytest.approx([60 / 62, 60 / 61, 0])
    assert merge([[], []], 3).item.tolist() == []


def test_factors_of_rare_items_are_not_trusted():
    """Of equal cosines the item with more events comes first; one without events never comes."""
    vectors = np.zeros((6, 3), np.float32)
    vectors[1:5] = [1.0, 0.1, 0.0]
    vectors[5] = [-1.0, 0.0, 0.0]
    events = np.array([0, 9, 2, 50, 0, 9], np.float64)
    allowed = np.ones(6, np.uint8)
    assert nearest_factors(vectors, events, allowed, 1, 5).tolist() == [3, 2]
    allowed[3] = 0
    assert nearest_factors(vectors, events, allowed, 1, 5).tolist() == [2]
    assert nearest_factors(vectors, events, allowed, 4, 5).tolist() == []
