"""``python -m tests.models.first_days``: prints what small shops compile beyond ``models.warm``."""

from collections.abc import Iterator, Sequence

import numpy as np

from models.engine import Engine, ListRequest
from models.jit import KERNELS
from models.warm import warm
from schemas.catalogue import Item
from schemas.events import Click, Event, Feedback, Impression, Purchase
from schemas.ladder import Rung
from schemas.settings import EngineSettings, ExperimentSettings, PolicySettings
from schemas.signals import decode_block, encode_block

START = 1_700_000_000_000
KINDS = (Click, Purchase, Impression, Feedback)
SPECIAL = ({"candidates": ("i0",)}, {"candidates": ("i0", "i1", "zz")}, {"filters": {"category": "c0"}})


def compiled() -> set[str]:
    """Kernels with the types that they are compiled for."""
    return {f"{k.py_func.__module__}.{k.py_func.__qualname__}{s}" for k in KERNELS for s in k.signatures}


def something(n: int, random: np.random.Generator, items: int, people: int) -> Event:
    """What a person does with an item."""
    kind = KINDS[random.integers(len(KINDS))]
    more = {"kind": "like"} if kind is Feedback else {}
    return kind(
        event_id=f"e{n}",
        user_id=f"u{random.integers(people)}",
        item_id=f"i{random.integers(items)}",
        ts=START + 1000 * n,
        **more,
    )


def runs(items: int, people: int, random: np.random.Generator) -> Iterator[list[Event]]:
    """Runs of events; an empty one where there are no items."""
    done = 0
    for size in (1, 3, 20, 1, 20):
        yield [something(done + n, random, items, people) for n in range(size if items else 0)]
        done += size


def live(items: int, people: int, holdout: float) -> None:
    """The first days of a shop: blocks with and without each kind of row, lists of each rung."""
    random, applied = np.random.default_rng(items), 0
    engine = Engine(
        EngineSettings(),
        policy=PolicySettings(context_share=0.5),
        experiment=ExperimentSettings(holdout=holdout),
        seed=1,
    )
    engine.describe([Item(item_id=f"i{n}", title=f"item {n}", categories=("c0",)) for n in range(items // 2)])
    shard = engine.open_shard(0)
    decisions: Sequence[Event] = ()
    for events in runs(items, people, random):
        for part in (events, [*decisions], [*events, *decisions]):
            if part:
                offsets = np.arange(applied, applied + len(part))
                block = engine.observe(shard, part, offsets, broker_ts=START + 1000 * offsets)
                engine.learn(decode_block(encode_block(block)))
                applied += len(part)
        now = START + 1000 * applied
        for count in (1, 3):
            asked = [ListRequest(shard, f"u{n}", 5, f"t{applied}-{n}") for n in range(count)]
            for rung in (Rung.SEGMENT, Rung.GLOBAL, Rung.NO_VECTORS, Rung.FULL):
                decisions = engine.recommend(asked, now=now, seed=1, rung=rung)
        for more in SPECIAL:
            engine.recommend([ListRequest(shard, "u0", 3, "s", **more)], now=now, seed=2)


if __name__ == "__main__":
    warm()
    before = compiled()
    for shop in ((0, 1), (1, 2), (2, 1), (5, 7), (60, 30)):
        live(*shop, holdout=0.0)
        live(*shop, holdout=0.3)
    print(*sorted(compiled() - before), sep="\n", end="")
