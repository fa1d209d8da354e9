"""The whole engine, catalogue described: packing, interruption and repetition change nothing."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from models.engine import Engine, ListRequest
from models.users.shard import UserShard
from schemas.catalogue import Item
from schemas.events import Click, Event, Feedback, Impression, Purchase, Request, Source
from schemas.settings import EngineSettings, ExperimentSettings
from schemas.signals import SignalBlock, decode_block, encode_block
from tests.contracts.logs import cut

T0 = 1_700_000_000_000
USERS = [f"user {n}" for n in range(5)]
ITEMS = [f"item {n}" for n in range(12)]
NOW = T0 + 10**9

quick = settings(
    deadline=None, max_examples=20, phases=[Phase.explicit, Phase.generate, Phase.shrink], derandomize=True
)


def make_events(seed: int, size: int) -> list[Event]:
    """Clicks, purchases, opinions, impressions and requests; some repeated, some at one instant."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    now = T0
    for n in range(size):
        now += int(rng.choice([0, 0, 20, 3_000, 4_000_000]))
        about = {
            "event_id": f"e{int(rng.integers(max(0, n - 3), n + 1))}",
            "user_id": USERS[int(rng.integers(len(USERS)))],
            "ts": now,
            "source": Source("clicks", n % 2, 0, n),
        }
        item = ITEMS[int(len(ITEMS) * rng.random() ** 2)]
        kind = int(rng.integers(10))
        if kind < 5:
            events.append(Click(item_id=item, **about))
        elif kind < 7:
            events.append(Purchase(item_id=item, price=2.0, **about))
        elif kind == 7:
            opinion = ("like", "dislike", "rating")[n % 3]
            events.append(Feedback(item_id=item, kind=opinion, value=float(rng.integers(1, 6)), **about))
        elif kind == 8:
            events.append(Impression(item_id=item, **about))
        else:
            events.append(Request(request_id=f"r{n}", **about))
    return events


streams = st.builds(make_events, seed=st.integers(0, 2**32 - 1), size=st.integers(1, 90))
cuts = st.sets(st.integers(1, 89), max_size=12)


def new_engine(probe_share: float) -> tuple[Engine, UserShard]:
    """Twelve described items, one of them sold out, one without a text; a budget that is soon spent."""
    engine = Engine(
        EngineSettings(
            factors=8, probe_share=probe_share, probes_per_second=1e9, gradient_rows_per_second=0.2
        ),
        experiment=ExperimentSettings(name="property", holdout=0.2),
        seed=5,
    )
    engine.describe(
        [
            Item(item_id=name, title="" if n == 3 else f"thing {n % 4} of kind {n % 3}", stock=int(n != 5))
            for n, name in enumerate(ITEMS)
        ]
    )
    return engine, engine.open_shard(0)


def bounds(size: int, ends: set[int]) -> list[tuple[int, int]]:
    """Runs that end at the given places."""
    inner = sorted(e for e in ends if e < size)
    return list(zip([0, *inner], [*inner, size], strict=True))


def pass_on(engine: Engine, shard: UserShard, events: list[Event], begin: int, end: int) -> SignalBlock:
    """Observe one run and learn its bytes; the block."""
    run = events[begin:end]
    broker = np.array([e.ts for e in run], np.int64)
    block = engine.observe(shard, run, np.arange(begin, end), broker_ts=broker)
    block = decode_block(encode_block(block))
    engine.learn(block)
    return block


def lists(engine: Engine, shard: UserShard) -> list[tuple]:
    """What everybody, and a stranger, is shown: items, scores, propensities, parts."""
    asked = [ListRequest(shard, u, 6, f"t {u}", event_ts=NOW) for u in [*USERS, "stranger"]]
    drawn = engine.recommend(asked, now=NOW, seed=3)
    return [(d.user_id, [astuple(i) for i in d.recommendation.items]) for d in drawn]


@quick
@given(streams, cuts, cuts)
def test_runs_of_any_length_give_the_same_engine(events, one, two) -> None:
    """Where events are cut into runs is nobody's business: models, state and drawn lists are equal."""
    seen = []
    for ends in (one, two):
        engine, shard = new_engine(probe_share=0.0)
        for begin, end in bounds(len(events), ends):
            pass_on(engine, shard, events, begin, end)
        state = [shard.encode_block(b) for b in shard.dirty_blocks()]
        seen.append((engine.snapshot(), state, lists(engine, shard)))
    assert seen[0] == seen[1]


@quick
@given(streams, cuts, cuts)
def test_rows_packed_in_any_way_give_the_same_models(events, runs, ends) -> None:
    """Blocks with probes, cut again anywhere and delivered twice: the same snapshot, byte for byte."""
    engine, shard = new_engine(probe_share=1.0)
    blocks = [pass_on(engine, shard, events, a, b) for a, b in bounds(len(events), runs)]
    twin, _ = new_engine(probe_share=1.0)
    for block in blocks:
        inside = sorted(e for e in ends if block.cover and block.cover.after < e < block.cover.to)
        for piece in cut_after(block, inside):
            twin.learn(piece)
        twin.learn(block)
    assert twin.snapshot() == engine.snapshot()
    assert twin.log.checksums() == engine.log.checksums()


def cut_after(block: SignalBlock, ends: list[int]) -> list[SignalBlock]:
    """The block in pieces, with other dictionaries."""
    return cut(block, ends) if ends else [block]


@quick
@given(streams, cuts, st.integers(0, 90))
def test_a_restart_anywhere_changes_nothing(events, ends, at) -> None:
    """Snapshot and state, restored by another engine in mid-stream: it goes on identically."""
    at = min(at, len(events))
    engine, shard = new_engine(probe_share=1.0)
    for begin, end in bounds(at, ends):
        pass_on(engine, shard, events, begin, end)
    twin, other = new_engine(probe_share=1.0)
    twin.restore(engine.snapshot())
    other.load_checkpoint(shard.encode_checkpoint())
    for number in shard.dirty_blocks():
        other.load_block(shard.encode_block(number))
    assert lists(twin, other) == lists(engine, shard)
    for begin in range(at, len(events), 7):
        end = min(begin + 7, len(events))
        blocks = [
            encode_block(pass_on(e, s, events, begin, end)) for e, s in ((engine, shard), (twin, other))
        ]
        assert blocks[0] == blocks[1]
    assert twin.snapshot() == engine.snapshot()
    assert lists(twin, other) == lists(engine, shard)


@pytest.mark.slow
def test_the_size_of_blocks_does_not_change_the_model() -> None:
    """5,000 events learned one by one, in blocks of 2, 64, 1,000, and all at once: the same bytes."""
    events = make_events(7, 5000)
    snapshots = []
    for size in (1, 2, 64, 1000, 5000):
        engine, shard = new_engine(probe_share=0.0)
        for begin in range(0, len(events), size):
            pass_on(engine, shard, events, begin, min(begin + size, len(events)))
        snapshots.append(engine.snapshot())
    assert all(s == snapshots[0] for s in snapshots)
