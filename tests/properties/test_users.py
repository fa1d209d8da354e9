"""Whatever is delivered twice, cut or interrupted: one state, and the one that plain Python gives."""

from itertools import pairwise

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from models.users.applied import joined
from schemas.events import Click, Erase, Event, Feedback, Impression, Merge, Purchase, Request, Source, Tick
from tests.models.users.builders import T0, decision, dump, new_shard, reborn
from tests.models.users.plain import PlainShard, hashed, rows_of

USERS = [f"user {i}" for i in range(4)] + ["ütf"]
ITEMS = [f"item {i}" for i in range(6)]

quick = settings(
    deadline=None, max_examples=100, phases=[Phase.explicit, Phase.generate, Phase.shrink], derandomize=True
)


def make_log(seed: int, size: int) -> list[tuple[Event, int]]:
    """An ``events`` partition: events with the broker's time; repeats, merges and erasures included."""
    rng = np.random.default_rng(seed)
    now, log, made, placed = T0, [], 0, 0

    def pick(options):
        return options[int(rng.integers(len(options)))]

    for n in range(size):
        now += pick([0, 1_000, 90_000, 1_000_000, 30_000_000])
        user, item = pick(USERS), pick(ITEMS)
        number = int(rng.integers(max(0, n - 5), n + 1))  # a producer's own repeats
        placed += pick([1, 1, 1, 0])  # redelivered by intake
        source = pick([None, Source("clicks", number % 2, 0, placed, number % 3)])
        ts = now - pick([0, 0, 5_000, 100_000])
        fact = {"event_id": f"e{number}", "user_id": user, "ts": ts, "source": source}
        named = pick([None, f"d{max(made - 1, 0)}", f"d{made}", "unheard of"])
        kind = int(rng.integers(15))
        if kind < 5:
            event: Event = Click(item_id=item, decision_id=named, **fact)
        elif kind < 7:
            event = Purchase(item_id=item, decision_id=named, price=2.0, **fact)
        elif kind == 7:
            event = Feedback(item_id=item, kind=pick(["hide", "like", "rating"]), **fact)
        elif kind == 8:
            event = Request(request_id=f"r{n}", **fact)
        elif kind == 9:
            event = Impression(item_id=item, **fact)
        elif kind < 13:
            made += pick([0, 1])
            shown = rng.permutation(ITEMS)[: rng.integers(1, 7)].tolist()
            trigger = pick([f"e{number}", f"r{number}", f"e{n}"])
            event = decision(f"d{made}", trigger, user, shown, at=(now - T0) / 1000)
        else:
            event = pick([Tick(now), Merge(user, pick(USERS), now), Erase(user, now - 2_000)])
        log.append((event, now))
    return log


logs = st.builds(make_log, seed=st.integers(0, 2**32 - 1), size=st.integers(1, 120))


def columns(log: list[tuple[Event, int]], begin: int, end: int) -> tuple[list[Event], np.ndarray, np.ndarray]:
    """A run of a log."""
    return (
        [e for e, _ in log[begin:end]],
        np.arange(begin, end),
        np.array([t for _, t in log[begin:end]], np.int64),
    )


def state_of(shard) -> tuple[bytes, dict[int, bytes]]:
    return shard.encode_checkpoint(), dump(shard)


@quick
@given(logs)
def test_rows_are_those_of_the_plain_fold(log) -> None:
    """Histories, repeats, ages, exposures, joins and firsts agree with a fold written in plain Python."""
    shard, plain = new_shard(), PlainShard()
    applied = shard.apply(*columns(log, 0, len(log)))
    for offset, (event, broker) in enumerate(log):
        plain.apply(event, offset, broker)
    interactions, exposures, rewards = rows_of(applied, shard)
    assert interactions == hashed(plain.interactions)
    assert exposures == hashed(plain.exposures)
    assert rewards == hashed(plain.rewards)
    assert len(shard) == len(plain.people)


@quick
@given(logs, st.integers(0, 120), st.integers(0, 120))
def test_rows_of_joined_runs_are_those_of_one(log, a, b) -> None:
    """Rows, contexts and covers do not tell how many runs their events came in."""
    cuts = sorted({0, min(a, len(log)), min(b, len(log)), len(log)})
    probed = np.arange(len(log)) % 3 == 0
    one, many = new_shard(), new_shard()
    whole = one.apply(*columns(log, 0, len(log)), want_contexts=probed.astype(np.uint8))
    parts = [
        many.apply(*columns(log, begin, end), want_contexts=probed[begin:end].astype(np.uint8))
        for begin, end in pairwise(cuts)
    ]
    got = joined(parts)
    assert rows_of(got, many) == rows_of(whole, one)
    assert (got.after, got.to, got.contexts_at.tolist()) == (
        whole.after,
        whole.to,
        whole.contexts_at.tolist(),
    )
    assert got.offsets.tolist() == whole.offsets.tolist()
    mine, theirs = got.contexts, whole.contexts
    for name in ("user", "now", "age", "ctx_start", "ctx_gap", "ctx_kind", "seen_start"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name))
    assert many.items.ids_of(mine.ctx_slot.tolist()) == one.items.ids_of(theirs.ctx_slot.tolist())


@quick
@given(logs, st.integers(0, 2**32 - 1))
def test_any_schedule_of_redelivery_gives_the_same_state(log, seed) -> None:
    """Runs may be cut anywhere and delivered again from anywhere: one state, each row once, in order."""
    rng, once, often = np.random.default_rng(seed), new_shard(), new_shard()
    expected = rows_of(once.apply(*columns(log, 0, len(log))), once)
    got: tuple[list, list, list] = ([], [], [])
    while often.applied < len(log) - 1:
        begin = int(rng.integers(0, often.applied + 2))
        end = int(rng.integers(begin, len(log))) + 1
        applied = often.apply(*columns(log, begin, end))
        for rows, more in zip(got, rows_of(applied, often), strict=True):
            rows.extend(more)
    assert got == expected
    often.cover_end = once.cover_end  # where blocks end is up to who cuts
    assert state_of(often) == state_of(once)


@quick
@given(logs, st.integers(0, 120))
def test_a_restart_anywhere_changes_nothing(log, cut) -> None:
    """Restored in the middle, into a process with other item slots: the same rows and bytes afterwards."""
    cut = min(cut, len(log))
    whole = new_shard()
    whole.apply(*columns(log, 0, cut))
    restored = reborn(whole)
    assert state_of(restored) == state_of(whole)
    expected = rows_of(whole.apply(*columns(log, cut, len(log))), whole)
    assert rows_of(restored.apply(*columns(log, cut, len(log))), restored) == expected
    assert state_of(restored) == state_of(whole)


@quick
@given(logs, st.sampled_from(USERS))
def test_an_erased_person_leaves_no_bytes(log, user) -> None:
    """After an erasure the arrays and blocks are those of a shard that never knew the person's id."""
    shard = new_shard()
    shard.apply(*columns(log, 0, len(log)))
    now = log[-1][1]
    shard.apply([Erase(user, now)], np.array([len(log)]), np.array([now]))
    assert shard.slot_of(user) == -1
    assert user.encode() not in shard.names.data.tobytes()
    restored = reborn(shard)
    assert state_of(restored) == state_of(shard)
    assert restored.slot_of(user) == -1
