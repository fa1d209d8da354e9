"""People who move to other blocks keep everything that was known of them."""

import numpy as np

from models.interning import Interner
from models.users.regroup import block_of, people_of
from models.users.shard import UserShard
from schemas.events import Merge
from schemas.ids import partition_of
from schemas.settings import ExperimentSettings, UserSettings
from tests.models.users.builders import T0, apply, click, decision, dump, new_shard

PEOPLE = 600


def crowd() -> UserShard:
    """People with histories, seen sets, open decisions and a subject of their own."""
    events = [click(k, f"user {k % PEOPLE}", f"i{k % 37}", at=k) for k in range(6 * PEOPLE)]
    events += [click(10**5 + k, "ann", f"x{k}", at=4000 + k) for k in range(150)]
    events += [
        decision(f"d{k}", f"e{k}", f"user {k}", [f"i{k % 5}", "new"], at=5000) for k in range(0, 600, 7)
    ]
    events += [click(10**6, "visitor", at=5100), Merge("visitor", "known", T0)]
    shard = new_shard()
    apply(shard, events)
    return shard


def regrouped(shard: UserShard, partitions: int) -> dict[int, list[bytes]]:
    """Blocks of each new partition."""
    found: dict[int, list] = {q: [] for q in range(partitions)}
    for data in dump(shard).values():
        people = people_of(data, 3)
        home = np.array([partition_of(name, partitions) for name in people.names()])
        for q, parts in found.items():
            parts.append(people.take(home == q))
    return {q: [block_of(parts, q, 0)] for q, parts in found.items()}


def shard_of(blocks: list[bytes], partition: int, checkpoint: bytes) -> UserShard:
    fresh = UserShard(partition, 0, Interner(["other"]), UserSettings(), ExperimentSettings(holdout=0.2))
    fresh.load_checkpoint(checkpoint)
    for data in blocks:
        fresh.load_block(data)
    return fresh


def test_people_in_other_blocks_are_the_same_people() -> None:
    """Counters, contexts, arms and seen sets; a block has the bytes that a shard would give it."""
    shard = crowd()
    for q, blocks in regrouped(shard, 3).items():
        moved = shard_of(blocks, q, shard.encode_checkpoint())
        names = [n for data in blocks for n in people_of(data, q).names()]
        assert names
        assert all(partition_of(name, 3) == q for name in names)
        for name in names:
            assert moved.counts_of(name) == shard.counts_of(name)
            assert moved.arm_of(name) == shard.arm_of(name)
            assert context(moved, name) == context(shard, name)
        assert list(dump(moved).values()) == blocks
    assert sum(len(people_of(b[0], q)) for q, b in regrouped(shard, 3).items()) == len(shard)


def context(shard: UserShard, name: str) -> tuple:
    found = shard.contexts(shard.slots_of([name]), np.array([T0 + 10**7]))
    past = [shard.items.id_of(s) for s in found.ctx_slot.tolist()]
    seen = sorted(shard.items.id_of(s) for s in found.seen_slot.tolist())
    return past, found.ctx_gap.tolist(), found.ctx_kind.tolist(), seen, found.age.tolist()


def test_moved_people_go_on_as_if_they_had_never_moved() -> None:
    """Repeats are known, rewards find their decisions: the rows of further events are the same."""
    shard = crowd()
    after = [
        click(2 * 10**6 + k, f"user {k}", f"i{k % 5}", at=5200 + k, source=None) for k in range(0, 600, 7)
    ]
    after += [click(k, f"user {k}", f"i{k % 37}", at=5900, source=None) for k in range(3500, 3600)]
    blocks = regrouped(shard, 3)
    for q in range(3):
        moved = shard_of(blocks[q], q, shard.encode_checkpoint())
        mine = [e for e in after if partition_of(e.user_id, 3) == q]
        stayed = shard_of(list(dump(shard).values()), 3, shard.encode_checkpoint())
        a, b = apply(moved, mine), apply(stayed, mine)
        assert len(a.rewards)
        assert (a.rewards.decision != 0).any()
        assert a.rewards.decision.tolist() == b.rewards.decision.tolist()
        assert a.rewards.propensity.tolist() == b.rewards.propensity.tolist()
        assert a.accepted.tolist() == b.accepted.tolist()


def test_offsets_of_open_decisions_are_translated() -> None:
    """Their order in the new log is what the new state knows."""
    shard = crowd()
    people = people_of(dump(shard)[0], 3)
    assert len(people.open_offsets())
    moved = people.moved(lambda offset: offset + 1000)
    assert moved.open_offsets().tolist() == (people.open_offsets() + 1000).tolist()
    assert people_of(block_of([moved], 5, 7), 5).open_offsets().tolist() == moved.open_offsets().tolist()
