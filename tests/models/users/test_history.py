"""Histories: newest first, bounded, and what leaves them is still known as seen."""

import numpy as np
import pytest

from tests.models.users.builders import T0, apply, click, dump, new_shard, reborn


def contexts(shard, user="ann", now=T0 + 10**9, limit=50):
    return shard.contexts(np.array([shard.slot_of(user)], np.int32), np.array([now]), limit=limit)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 99, 100, 101, 150])
def test_a_row_carries_the_hundred_newest_before_it(n) -> None:
    """Row n has the items n-1, n-2, …, at most a hundred, with whole seconds before it."""
    shard = new_shard()
    rows = apply(shard, [click(k, item=f"i{k}", at=10 * k) for k in range(n + 1)]).interactions
    last = slice(rows.ctx_start[n], rows.ctx_start[n + 1])
    expected = [f"i{k}" for k in range(n - 1, max(n - 101, -1), -1)]
    assert [shard.items.id_of(i) for i in rows.ctx_item[last]] == expected
    assert rows.ctx_gap[last].tolist() == [10.0 * (j + 1) for j in range(len(expected))]


def test_time_never_runs_backwards_in_a_context() -> None:
    """An event that happened before the last one sees gaps of 0, not negative ones."""
    rows = apply(new_shard(), [click(0, at=50), click(1, at=20)]).interactions
    assert rows.ctx_gap.tolist() == [0.0]


def test_what_leaves_the_history_is_still_seen() -> None:
    """After 500 events with a history of 10, each of the 500 items is seen, once, and known as a repeat."""
    shard = new_shard(history=10)
    apply(shard, [click(k, item=f"i{k}", at=k) for k in range(500)])
    seen = contexts(shard).seen_slot
    assert sorted(shard.items.ids_of(seen.tolist())) == sorted(f"i{k}" for k in range(500))
    assert apply(
        shard, [click(500, item="i0", at=500), click(501, item="new", at=501)]
    ).interactions.repeat.tolist() == [1, 0]


def test_a_history_holds_no_more_than_its_cap() -> None:
    """However long the person's life is: the cap and at most two nodes more."""
    shard = new_shard(history=20)
    apply(shard, [click(k, item=f"i{k % 3}", at=k) for k in range(1000)])
    assert shard._state.people["past_n"][0] <= 20 + 16
    assert len(contexts(shard, limit=1000).ctx_slot) <= 36


def test_memory_is_flat_under_one_hot_person() -> None:
    """100,000 events of one person on 50 items: after the first thousand, not one more byte of state."""
    shard = new_shard()
    events = [click(k, item=f"i{k % 50}", at=k, source=k) for k in range(2000)]
    apply(shard, events[:1000])
    before = shard.nbytes
    for start in range(1000, 100_000, 1000):
        again = [click(start + k, item=f"i{k % 50}", at=start + k) for k in range(1000)]
        apply(shard, again)
    assert shard.counts_of("ann")["click"] == 100_000
    assert shard.nbytes <= before + 200_000  # people records reserved for the largest run, and slack


def test_a_person_with_a_hundred_thousand_items_is_remembered() -> None:
    """100,000 different items: all seen, the block round-trips, and the row still carries 50."""
    shard = new_shard()
    for start in range(0, 100_000, 5000):
        apply(shard, [click(k, item=f"i{k}", at=k) for k in range(start, start + 5000)])
    assert len(contexts(shard).seen_slot) == 100_000
    restored = reborn(shard)
    assert dump(restored) == dump(shard)
    assert len(contexts(restored).seen_slot) == 100_000


def test_ids_of_a_thousand_bytes_are_ids_like_any_other() -> None:
    """User, item and event ids of 1,024 characters, not all of them ASCII, survive a restart."""
    user, item = "ü" * 1024, "x" * 1024
    shard = new_shard()
    apply(shard, [click(0, user=user, item=item), click(1, user=user + "?"[:0], item=item, at=1)])
    restored = reborn(shard)
    assert restored.slot_of(user) == 0
    assert restored.items.lookup(item) > 0
    assert dump(restored) == dump(shard)


def test_an_unknown_person_is_a_stranger() -> None:
    """Slot -1 gives an empty context between two known people."""
    shard = new_shard()
    apply(shard, [click(0, "ann"), click(1, "bob", at=1)])
    slots = shard.slots_of(["ann", "nobody", "bob"])
    assert slots.tolist() == [0, -1, 1]
    got = shard.contexts(slots, np.full(3, T0 + 5000))
    assert got.age.tolist() == [1, 0, 1]
    assert got.ctx_start.tolist() == [0, 1, 1, 2]
    assert got.user[1] == 0
    assert got.ctx_gap.tolist() == [5.0, 4.0]


def test_contexts_before_probed_events_are_those_of_that_moment() -> None:
    """The context asked for at event k equals the context read just before event k was applied."""
    events = [click(k, "ann" if k % 2 else "bob", item=f"i{k % 7}", at=k) for k in range(40)]
    shard, step = new_shard(history=10), new_shard(history=10)
    wanted = np.zeros(40, np.uint8)
    wanted[[0, 5, 11, 39]] = 1
    got = apply(shard, events, want_contexts=wanted)
    assert got.contexts_at.tolist() == [0, 5, 11, 39]
    for k, event in enumerate(events):
        if wanted[k]:
            i = got.contexts_at.tolist().index(k)
            one = step.contexts(step.slots_of([event.user_id]), np.array([event.ts]))
            assert got.contexts.age[i] == one.age[0]
            names = [step.items.id_of(s) for s in one.ctx_slot]
            span = slice(got.contexts.ctx_start[i], got.contexts.ctx_start[i + 1])
            assert [shard.items.id_of(s) for s in got.contexts.ctx_slot[span]] == names
            span = slice(got.contexts.seen_start[i], got.contexts.seen_start[i + 1])
            seen = {shard.items.id_of(s) for s in got.contexts.seen_slot[span]}
            assert seen == {step.items.id_of(s) for s in one.seen_slot}
        apply(step, [event])
