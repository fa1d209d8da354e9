"""``python -m models.warm``: compile every kernel once, so that the first list need not wait for it.

Compiled code is cached beside the sources (or in ``NUMBA_CACHE_DIR``); a second run takes seconds.
"""

import numpy as np

from models.engine import Engine, ListRequest
from schemas.catalogue import Item
from schemas.events import Click, Decision, Event, Purchase
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
    engine.describe([Item(item_id=f"i{n}", title=f"item {n}") for n in range(12)])
    shard = engine.open_shard(0)
    events: list[Event] = [_event(n) for n in range(40)]
    _learn(engine, engine.observe(shard, events, _offsets(0, 40), broker_ts=_times(0, 40)))
    requests = [ListRequest(shard, f"u{n}", 5, f"t{n}") for n in range(4)]
    decisions = engine.recommend(requests, now=START + 41 * MINUTE, seed=1)
    later: list[Event] = [*decisions, *(_answer(n, d) for n, d in enumerate(decisions, 50))]
    _learn(engine, engine.observe(shard, later, _offsets(40, len(later)), broker_ts=_times(50, len(later))))
    restored = engine.open_shard(0)
    restored.load_checkpoint(shard.encode_checkpoint())
    for number in shard.dirty_blocks():
        restored.load_block(shard.encode_block(number))
    engine.restore(engine.snapshot())
    return len(decisions)


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
