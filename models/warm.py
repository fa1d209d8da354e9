"""``python -m models.warm``: compile every kernel once, so that the first list need not wait for it.

Compiled code is cached beside the sources (or in ``NUMBA_CACHE_DIR``); a second run takes seconds.
"""

import numpy as np

from models.components.nearest import InvertedFile
from models.engine import Engine, ListRequest
from models.policy.safe import safe_lists
from models.users.shard import UserShard
from schemas.catalogue import Item
from schemas.events import Click, Decision, Erase, Event, Merge, Purchase
from schemas.ladder import Rung
from schemas.settings import EngineSettings, PolicySettings
from schemas.signals import Int64, SignalBlock, decode_block, encode_block

START = 1_700_000_000_000
MINUTE = 60_000


def warm() -> int:
    """Take a tiny engine through everything that production does; the number of lists it made.

    Examples
    --------
    >>> warm()
    4
    """
    engine = Engine(EngineSettings(), policy=PolicySettings(context_share=1.0), seed=1)
    engine.describe([Item(item_id=f"i{n}", title=f"item {n}", categories=("c0",)) for n in range(12)])
    shard = engine.open_shard(0)
    engine.recommend([ListRequest(shard, "u0", 5, "t0")], now=START, seed=1)  # before anything is learned
    events: list[Event] = [_event(n) for n in range(40)]
    _learn(engine, engine.observe(shard, events, _offsets(0, 40), broker_ts=_times(0, 40)))
    requests = [ListRequest(shard, f"u{n}", 5, f"t{n}") for n in range(4)]
    decisions = engine.recommend(requests, now=START + 41 * MINUTE, seed=1)
    later: list[Event] = [*decisions, *(_answer(n, d) for n, d in enumerate(decisions, 50))]
    _learn(engine, engine.observe(shard, later, _offsets(40, len(later)), broker_ts=_times(50, len(later))))
    _ask_for_special_lists(engine, shard)
    _grow_large(engine, shard)
    _outlive_a_history(engine, shard)
    restored = engine.open_shard(0)
    restored.load_checkpoint(shard.encode_checkpoint())
    for number in shard.dirty_blocks():
        restored.load_block(shard.encode_block(number))
    _move_people(engine, restored)
    engine.restore(engine.snapshot())
    return len(decisions)


def _ask_for_special_lists(engine: Engine, shard: UserShard) -> None:
    """What only some requests need: given candidates, filters, no own items, and the safe policy."""
    special = [
        ListRequest(shard, "u0", 3, "s0", candidates=("i1", "i2", "i3")),
        ListRequest(shard, "u1", 3, "s1", filters={"category": "c0"}),
        ListRequest(shard, "u2", 3, "s2", exclude_seen=True),
    ]
    engine.recommend(special, now=START + 60 * MINUTE, seed=2)
    for rung in (Rung.SEGMENT, Rung.GLOBAL):
        engine.recommend([*special, ListRequest(shard, "u3", 3, "s3")], now=START, seed=2, rung=rung)
    popular, start, banned = (np.array(a, np.int32) for a in (range(1, 9), [0, 2], [3, 4]))
    safe_lists(popular, np.zeros(8), start, banned, 8, engine.fusion.part_names)


def _grow_large(engine: Engine, shard: UserShard) -> None:
    """What only large shops need: lists from cells of similar items."""
    engine.factors.index = InvertedFile(engine.settings.factors, exact=4, small=4)
    clicks: list[Event] = [_event(n) for n in range(60, 100)]
    _learn(engine, engine.observe(shard, clicks, _offsets(shard.applied + 1, 40), broker_ts=_times(60, 40)))
    engine.recommend([ListRequest(shard, "u0", 3, "l0")], now=START + 100 * MINUTE, seed=3)
    engine.transitions.neighbours(1)


def _outlive_a_history(engine: Engine, shard: UserShard) -> None:
    """A person whose oldest items are in no history any more."""
    many = shard.rules.history + 20
    items = [Item(item_id=f"old{n}") for n in range(many)]
    engine.describe(items)
    clicks: list[Event] = [
        Click(event_id=f"o{n}", user_id="u3", item_id=item.item_id, ts=START + n * MINUTE)
        for n, item in enumerate(items)
    ]
    engine.observe(shard, clicks, _offsets(shard.applied + 1, many), broker_ts=_times(60, many))


def _move_people(engine: Engine, shard: UserShard) -> None:
    """Logging in, and being forgotten."""
    moves: list[Event] = [Merge("u0", "u1", START), Merge("u2", "new", START), Erase("u1", START)]
    engine.observe(shard, moves, _offsets(shard.applied + 1, 3), broker_ts=_times(500, 3))
    engine.observe(shard, [_event(3)], _offsets(shard.applied + 1, 1), broker_ts=_times(501, 1))


def _learn(engine: Engine, block: SignalBlock) -> None:
    engine.learn(decode_block(encode_block(block)))


def _event(n: int) -> Event:
    what = Purchase if n % 5 == 0 else Click
    return what(event_id=f"e{n}", user_id=f"u{n % 4}", item_id=f"i{n * 7 % 12}", ts=START + n * MINUTE)


def _answer(n: int, decision: Decision) -> Event:
    shown = decision.recommendation
    return Click(
        event_id=f"a{n}",
        user_id=shown.user_id,
        item_id=shown.items[0].item_id,
        ts=START + n * MINUTE,
        decision_id=shown.decision_id,
    )


def _offsets(first: int, n: int) -> Int64:
    return np.arange(first, first + n, dtype=np.int64)


def _times(first: int, n: int) -> Int64:
    return START + _offsets(first, n) * MINUTE


if __name__ == "__main__":
    warm()
