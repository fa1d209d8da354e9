"""Odd, empty and endless input: ids of any kind, nothing at all, items without text, a person without end."""

import time

import numpy as np
import pytest

from models.engine import Engine, ListRequest
from models.users.shard import UserShard
from schemas.catalogue import Item
from schemas.events import Click, Event, Feedback, Purchase, decode_event, encode_event
from schemas.ids import MAX_ID_LENGTH
from schemas.settings import EngineSettings, ExperimentSettings
from schemas.signals import decode_block, encode_block

NOW = 1_700_000_000_000

LONG = [mark + "x" * (MAX_ID_LENGTH - 1) for mark in "abcde"]
WIDE = [mark * MAX_ID_LENGTH for mark in ("ü", "茶", "🫖", "\U0010ffff")]
UNICODE = ["naïve", "nai\u0308ve", "\u202eabc", "a\u0000b", "A", "a", " ", "\u200b", "ﬁ", "fi"]
NUMBERS = ["1", "01", "1.0", "1e0", "١", "-1", "NaN", "None", "null", "0", "true"]


def new_engine(**settings) -> tuple[Engine, UserShard]:
    """Nobody is held out; eight factors."""
    engine = Engine(
        EngineSettings(factors=8, **settings), experiment=ExperimentSettings(name="odd", holdout=0.0)
    )
    return engine, engine.open_shard(0)


def live(engine: Engine, shard: UserShard, events: list[Event]) -> None:
    """Events as they pass through the whole stream: as bytes to the shard, as bytes to the learner."""
    read = [decode_event(encode_event(e)) for e in events]
    offsets = shard.applied + 1 + np.arange(len(read))
    block = engine.observe(shard, read, offsets, broker_ts=np.array([e.ts for e in events]))
    engine.learn(decode_block(encode_block(block)))


def listed(engine: Engine, shard: UserShard, user: str, k: int = 10, now: int = NOW + 10**6) -> list[str]:
    """Ids of a list that was really drawn."""
    request = ListRequest(shard=shard, user_id=user, k=k, trigger_id="t", event_ts=now)
    (decision,) = engine.recommend([request], now=now, seed=1)
    return [i.item_id for i in decision.recommendation.items]


@pytest.mark.parametrize("names", [LONG, WIDE, UNICODE, NUMBERS], ids=["long", "wide", "unicode", "numbers"])
def test_ids_of_every_kind_stay_apart_all_the_way(names):
    """As users and as items: through events, blocks, state and snapshot; none equals another."""
    engine, shard = new_engine()
    engine.describe([Item(item_id=n) for n in names])
    clicks: list[Event] = [
        Click(event_id=f"e{k}", user_id=names[k % len(names)], item_id=names[k // 3 % len(names)], ts=NOW + k)
        for k in range(12 * len(names))
    ]
    for at in range(0, len(clicks), 7):
        live(engine, shard, clicks[at : at + 7])
    assert len(engine.items) - 1 == len(shard) == len(names)
    assert set(listed(engine, shard, names[0], len(names))) == set(names)
    twin, other = new_engine()
    twin.restore(engine.snapshot())
    other.load_checkpoint(shard.encode_checkpoint())
    for number in shard.dirty_blocks():
        other.load_block(shard.encode_block(number))
    assert twin.snapshot() == engine.snapshot()
    for user in names:
        assert other.counts_of(user) == shard.counts_of(user)
        assert other.counts_of(user)["click"] == 12
        lists = [
            e.rank([ListRequest(s, user, 5)], now=NOW + 10**6) for e, s in ((engine, shard), (twin, other))
        ]
        ids = [e.items.ids_of(x.slot.tolist()) for e, x in zip((engine, twin), lists, strict=True)]
        assert ids[0] == ids[1]


def test_an_empty_engine_answers():
    """No item, no event: every question has an answer, and that is an empty one."""
    engine, shard = new_engine()
    assert listed(engine, shard, "anybody") == []
    ranked = engine.rank([ListRequest(shard=shard, user_id="anybody", k=10)], now=NOW)
    assert len(ranked.slot) == 0
    request = ListRequest(shard=shard, user_id="x", k=3, candidates=("a", "b"), filters={"category": "c"})
    answer = engine.recommend([request], now=NOW, seed=1)[0].recommendation
    assert (answer.items, answer.rung) == ((), "nothing")
    assert answer.reason == "no item is known that may be listed: describe items, or widen the request"
    engine.learn(engine.observe(shard, [], np.zeros(0, np.int64), broker_ts=np.zeros(0, np.int64)))
    twin, _ = new_engine()
    twin.restore(engine.snapshot())
    assert twin.snapshot() == engine.snapshot()
    assert set(engine.live_scores()) == set(engine.scoreboard.names)


def test_a_catalogue_of_nothing_but_delisted_items_gives_no_list():
    """Everything was seen, nothing may be shown."""
    engine, shard = new_engine()
    live(
        engine, shard, [Click(event_id=f"e{k}", user_id="u", item_id=f"i{k}", ts=NOW + k) for k in range(30)]
    )
    assert listed(engine, shard, "u")
    engine.delist([f"i{k}" for k in range(30)])
    assert listed(engine, shard, "u") == []


def test_items_without_text_live_among_items_with_text():
    """They are listed by what people do; whoever has only them gets no content scores, and no NaN."""
    engine, shard = new_engine()
    engine.describe([Item(item_id=f"t{n}", title=f"green tea number {n % 4}") for n in range(8)])
    engine.describe([Item(item_id=f"n{n}") for n in range(8)])
    clicks: list[Event] = [
        Click(event_id=f"e{k}", user_id=f"u{k % 5}", item_id=f"{'nt'[k % 2]}{k // 2 % 8}", ts=NOW + k)
        for k in range(160)
    ]
    live(engine, shard, clicks)
    live(engine, shard, [Click(event_id="x", user_id="bare", item_id="n0", ts=NOW + 500)])
    for user in ("u1", "bare", "stranger"):
        found = engine.rank([ListRequest(shard=shard, user_id=user, k=16)], now=NOW + 1000)
        assert np.isfinite(found.utility).all()
        assert {name[0] for name in engine.items.ids_of(found.slot.tolist())} == {"n", "t"}
    content = engine.content.hashed.arena["has"][engine.items.lookup_many([f"n{n}" for n in range(8)])]
    assert not content.any()


def test_values_that_are_no_numbers_reach_no_model():
    """Whoever builds events in Python may put NaN into them: rows, models and lists stay finite."""
    engine, shard = new_engine()
    wrong = [float("nan"), float("inf"), -float("inf")]
    events: list[Event] = []
    for k in range(90):
        about = {"event_id": f"e{k}", "user_id": f"u{k % 4}", "item_id": f"i{k % 7}", "ts": NOW + k}
        value = wrong[k % 3]
        if k % 9 < 3:
            events.append(Purchase(price=value, quantity=wrong[k // 9 % 3], **about))
        else:
            events.append(Feedback(kind="rating" if k % 2 else "play", value=value, **about))
    for at in range(0, 90, 30):
        block = engine.observe(
            shard, events[at : at + 30], np.arange(at, at + 30), broker_ts=np.full(30, NOW + at)
        )
        engine.learn(decode_block(encode_block(block)))
    found = engine.rank([ListRequest(shard=shard, user_id="u1", k=7)], now=NOW + 1000)
    assert len(found.slot) == 7
    assert np.isfinite(found.utility).all()


ENDLESS = 100_000


@pytest.fixture(scope="module")
def endless() -> tuple[Engine, UserShard, dict[int, tuple[int, int]]]:
    """One person's 10^5 events on 300 items; bytes of the shard and of the newest block at times."""
    engine, shard = new_engine(probe_share=0.0)
    sizes = {}
    for at in range(0, ENDLESS, 2000):
        offsets = np.arange(at, at + 2000)
        clicks = [
            Click(event_id=f"e{n}", user_id="hot", item_id=f"i{n * 7919 % 300}", ts=NOW + 1000 * n)
            for n in offsets.tolist()
        ]
        block = engine.observe(shard, clicks, offsets, broker_ts=NOW + 1000 * offsets)
        engine.learn(block)
        sizes[at + 2000] = (shard.nbytes, len(encode_block(block)))
    return engine, shard, sizes


@pytest.mark.slow
def test_a_person_without_end_is_no_heavier_than_a_busy_one(endless):
    """After 10^5 events the state has not a tenth more bytes than after 10^4, and neither have the rows."""
    _, shard, sizes = endless
    assert sizes[ENDLESS][0] <= 1.1 * sizes[10_000][0]
    assert sizes[ENDLESS][1] <= 1.1 * sizes[10_000][1]
    context = shard.contexts(shard.slots_of(["hot"]), np.array([NOW + 10**9]))
    assert len(context.ctx_slot) <= 100
    assert len(context.seen_slot) == 300
    assert int(context.age[0]) == ENDLESS
    assert len(shard.encode_block(0)) < 20_000


@pytest.mark.slow
def test_a_person_without_end_learns_and_is_served_like_anybody(endless):
    """Another thousand events, and a list, cost at most three times those of a person with a hundred."""
    engine, shard, _ = endless
    spent = {}
    calm = [f"i{n * 7919 % 300}" for n in range(100)]
    live(
        engine,
        shard,
        [Click(event_id=f"c{n}", user_id="calm", item_id=i, ts=NOW + n) for n, i in enumerate(calm)],
    )
    for user in 5 * ("calm", "hot"):
        begun = time.thread_time()
        clicks: list[Event] = [
            Click(event_id=f"{user}{begun}{n}", user_id=user, item_id=f"i{n % 300}", ts=NOW + 10**9 + n)
            for n in range(1000)
        ]
        live(engine, shard, clicks)
        for seed in range(20):
            request = ListRequest(shard=shard, user_id=user, k=10, trigger_id=f"t{seed}", event_ts=NOW)
            found = engine.recommend([request], now=NOW + 2 * 10**9, seed=seed)[0].recommendation.items
            assert all(np.isfinite(i.score) for i in found)
            assert len(found) == 10
        spent.setdefault(user, []).append(time.thread_time() - begun)
    assert min(spent["hot"]) <= 3 * min(spent["calm"])  # what others take of the machine only adds
