"""Writes the dumps of this release: ``python -m tests.golden.make DIRECTORY``.

Run once for a release whose formats differ from those of the newest dump; dumps never change.  Events,
state, signals, lists and a snapshot of a small shop, in the files of a backup; no broker is needed and
the same build writes the same records.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from models.engine import Engine
from models.requests import ListRequest
from models.users.shard import UserShard
from schemas.catalogue import Item
from schemas.events import Click, Event, Feedback, Purchase, Request, Source, Tick, encode_event
from schemas.settings import EngineSettings, PolicySettings, Settings
from schemas.signals import encode_block
from schemas.topics import Topic
from streams.archive import RecordFile
from streams.learner import Snapshots
from streams.rewrite import Kept
from streams.state_store import (
    CHECKPOINT_KEY,
    Checkpoint,
    block_row,
    encode_checkpoint,
)

T0 = 1_700_000_000_000
PEOPLE, ITEMS, ROUNDS, EACH = 40, 24, 12, 25
SETTINGS = Settings(
    engine=EngineSettings(factors=8, probe_share=0.2), policy=PolicySettings(context_share=1.0)
)
"""Of the deployment; factors are few to keep the dump small."""


def made(round_: int, random: np.random.Generator) -> list[Event]:
    """Events of one round: clicks, purchases, likes, requests, and a tick."""
    events: list[Event] = []
    for k in range(EACH):
        n = round_ * EACH + k
        common = {
            "event_id": f"e{n}", "user_id": f"user {random.integers(PEOPLE)}", "ts": T0 + 1000 * n,
            "source": Source("clicks", k % 2, 0, n),
        }  # fmt: skip
        item = f"item {random.integers(ITEMS)}"
        if k % 8 == 3:
            events.append(Purchase(item_id=item, price=2.5, quantity=2.0, currency="EUR", **common))
        elif k % 8 == 5:
            events.append(Feedback(item_id=item, kind="like", **common))
        elif k % 8 == 7:
            events.append(Request(request_id=f"r{n}", k=5, **common))
        else:
            events.append(Click(item_id=item, **common))
    return [*events, Tick(ts=T0 + 1000 * (round_ + 1) * EACH)]


def shop() -> Iterator[tuple[UserShard, Engine, list[Event], int, bytes]]:
    """After each round: the shard, the engine, the round's events, their first offset, its block."""
    engine, random = Engine.of(SETTINGS), np.random.default_rng(5)
    engine.describe([Item(item_id=f"item {n}", title=f"thing {n}") for n in range(ITEMS)])
    shard, offset = engine.open_shard(0), 0
    decided: list[Event] = []
    for round_ in range(ROUNDS):
        events = [*decided, *made(round_, random)]
        offsets = np.arange(offset, offset + len(events))
        times = np.full(len(events), T0 + 1000 * round_ * EACH)
        block = engine.observe(shard, events, offsets, broker_ts=times)
        engine.learn(block)
        yield shard, engine, events, offset, encode_block(block)
        offset += len(events)
        asked = [
            ListRequest(shard=shard, user_id=e.user_id, k=e.k, trigger_id=e.request_id, event_ts=e.ts)
            for e in events
            if isinstance(e, Request)
        ]
        decided = list(engine.recommend(asked, now=T0 + 1000 * (round_ + 1) * EACH, seed=round_))


def write(directory: Path) -> None:
    """All dumps."""
    with (
        RecordFile(directory, Topic.EVENTS.value, 0) as events,
        RecordFile(directory, Topic.SIGNALS.value, 0) as signals,
        RecordFile(directory, Topic.RECOMMENDATIONS.value, 0) as lists,
        RecordFile(directory, Topic.STATE.value, 0) as state,
    ):
        for n, (shard, engine, happened, first, block) in enumerate(shop()):  # noqa: B007  the last is used
            signals.append(Kept(n, T0, b"0", block))
            for offset, event in enumerate(happened, first):
                value = encode_event(event)
                events.append(Kept(offset, T0 + 1000 * n * EACH, b"user", value))
                if hasattr(event, "recommendation"):
                    lists.append(Kept(offset, T0, b"user", msgspec.json.encode(event.recommendation)))
            if n == ROUNDS // 2:
                Snapshots(directory, "golden").write(n + 1, engine.snapshot())
        for number in shard.dirty_blocks():
            row = block_row(number, shard.encode_block(number), shard.applied)
            state.append(Kept(number, T0, row.key, row.value, tuple(row.headers)))
        end = Checkpoint(
            applied=shard.applied, mark="", incarnation=0, cover=shard.cover_end, open=(3,),
            shard=shard.encode_checkpoint(),
        )  # fmt: skip
        state.append(Kept(99, T0, CHECKPOINT_KEY, encode_checkpoint(end)))
        for file in (events, signals, lists, state):
            file.finish()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
