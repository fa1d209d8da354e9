"""The contract of user state: a deterministic, bounded fold of one partition that may be interrupted."""

import numpy as np
import pytest

from models.interning import Interner
from models.users.shard import UserShard
from schemas.events import Click, Event, Feedback, Purchase, Request, Source
from schemas.settings import ExperimentSettings, UserSettings
from schemas.signals import encode_block

T0 = 1_700_000_000_000


def log(n: int = 800, people: int = 40, seed: int = 0) -> list[Event]:
    """Clicks, purchases, ratings and requests of forty people, an event a minute."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    for k in range(n):
        fact = {
            "event_id": f"e{k}", "user_id": f"u{rng.integers(people)}", "ts": T0 + 60_000 * k,
            "source": Source("clicks", k % 3, 0, k),
        }  # fmt: skip
        kind = rng.random()
        item = f"i{int(60 * rng.random() ** 2)}"
        if kind < 0.6:
            events.append(Click(item_id=item, **fact))
        elif kind < 0.8:
            events.append(Purchase(item_id=item, price=3.0, **fact))
        elif kind < 0.9:
            events.append(Feedback(item_id=item, kind="rating", value=float(rng.integers(1, 6)), **fact))
        else:
            events.append(Request(request_id=f"r{k}", **fact))
    return events


LOG = log()
BROKER = np.array([e.ts for e in LOG], np.int64)
OFFSETS = np.arange(len(LOG)) * 2 + 5  # gaps: poison in between


def open_store(items: Interner | None = None) -> UserShard:
    return UserShard(0, 0, items or Interner(), UserSettings(history=20), ExperimentSettings())


def feed(store: UserShard, begin: int = 0, end: int = len(LOG), cut: int = 100) -> list[bytes]:
    """Fold a stretch of the log in runs; the bytes of the signals blocks."""
    blocks = []
    for a in range(begin, end, cut):
        b = min(a + cut, end)
        applied = store.apply(LOG[a:b], OFFSETS[a:b], BROKER[a:b])
        blocks.append(encode_block(applied.to_block(store.items)))
    return blocks


def state(store: UserShard) -> list[bytes]:
    n = (store.names.used + 255) // 256
    return [store.encode_checkpoint(), *(store.encode_block(b) for b in range(n))]


def test_the_same_log_gives_the_same_bytes() -> None:
    """Two stores, in processes that know other items: state and signals blocks are equal."""
    one, two = open_store(), open_store(Interner([f"i{k}" for k in range(50, -1, -1)]))
    assert feed(one) == feed(two)
    assert state(one) == state(two)


@pytest.mark.parametrize("cut", [1, 7, 800])
def test_packing_does_not_matter(cut) -> None:
    """Runs of one event, of seven, or of everything: the same state."""
    one, two = open_store(), open_store()
    feed(one)
    feed(two, cut=cut)
    assert state(one) == state(two)


@pytest.mark.parametrize("at", [1, 399, 799])
def test_a_snapshot_in_mid_stream_goes_on_as_if_nothing_had_happened(at) -> None:
    """State and signals blocks after the restart are those of the store that went on."""
    one = open_store()
    feed(one, 0, at)
    two = open_store(Interner(["x"]))
    checkpoint, *blocks = state(one)
    two.load_checkpoint(checkpoint)
    for block in blocks:
        two.load_block(block)
    assert feed(one, at) == feed(two, at)
    assert state(one) == state(two)


def test_a_replay_changes_nothing() -> None:
    """The whole log again, and then its second half again: no row, no change."""
    store = open_store()
    feed(store)
    before = state(store)
    for begin in (0, 400):
        applied = store.apply(LOG[begin:], OFFSETS[begin:], BROKER[begin:])
        assert (len(applied), applied.to) == (0, store.applied)
    assert state(store) == before


def test_memory_is_bounded_by_people_not_by_events() -> None:
    """The same people on the same items, twelve rounds instead of three: not a tenth more bytes."""
    store, sizes = open_store(), []
    for k in range(12):
        store.apply(again(k), np.arange(len(LOG)) + 1000 * k, BROKER)
        sizes.append(store.nbytes)
    assert sizes[11] < 1.1 * sizes[2]


def again(k: int) -> list[Event]:
    """The log's events once more, as new ones."""
    fields = [{f: getattr(e, f) for f in e.__struct_fields__} for e in LOG]
    return [
        type(e)(**(f | {"source": None, "event_id": f"{k}/{e.event_id}"}))
        for e, f in zip(LOG, fields, strict=True)
    ]
