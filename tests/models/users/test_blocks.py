"""Bytes of blocks and checkpoints: deterministic, checked, and told apart by name."""

import cramjam
import numpy as np
import pytest

from models.interning import Interner
from models.packed import Packed
from models.users.blocks import block_key
from models.users.checkpoint import Checkpoint
from models.users.shard import UserShard
from schemas.errors import CorruptBlockError, SettingsError
from schemas.events import Erase
from schemas.settings import ExperimentSettings, UserSettings
from tests.models.users.builders import T0, apply, click, decision, dump, new_shard, reborn


def crowd(n=600, **settings):
    shard = new_shard(**settings)
    apply(shard, [click(k, f"user {k % n}", f"i{k % 37}", at=k) for k in range(3 * n)])
    apply(shard, [decision(f"d{k}", f"e{k}", f"user {k}", at=3 * n) for k in range(0, n, 7)])
    return shard


def test_only_what_changed_is_dirty() -> None:
    """600 people are three blocks; after encoding, one click dirties one."""
    shard = crowd()
    assert shard.dirty_blocks() == [0, 1, 2]
    dump(shard)
    assert shard.dirty_blocks() == []
    apply(shard, [click(9999, "user 300", at=9999)])
    assert shard.dirty_blocks() == [1]


def test_the_same_state_gives_the_same_bytes_in_any_process() -> None:
    """Item slots of the process do not show: restored among other slots, every block is the same."""
    shard = crowd()
    assert dump(reborn(shard)) == dump(shard)
    assert dump(reborn(reborn(shard))) == dump(shard)


def test_blocks_may_be_loaded_in_any_order() -> None:
    """A restart reads the newest record of each key, in whatever order compaction left them."""
    shard = crowd()
    blocks = list(dump(shard).values())
    fresh = new_shard()
    fresh.load_checkpoint(shard.encode_checkpoint())
    assert [fresh.load_block(b) for b in reversed(blocks)] == [2, 1, 0]
    assert list(dump(fresh).values()) == blocks
    assert fresh.slots_of(["user 0", "user 599", "x"]).tolist() == [0, 599, -1]
    assert apply(fresh, [click(10**5, "new", at=10**5)]).interactions.age.tolist() == [0]
    assert fresh.slot_of("new") == 600


def test_free_slots_are_used_again_lowest_first_also_after_a_restart() -> None:
    """Erased people's slots go to the next new people, the same ones with and without a restart."""
    shard = crowd()
    apply(shard, [Erase(f"user {k}", T0) for k in (300, 5, 77)])
    for one in (shard, reborn(shard)):
        apply(one, [click(10_000 + k, f"new {k}", at=10_000) for k in range(4)])
        assert one.slots_of([f"new {k}" for k in range(4)]).tolist() == [5, 77, 300, 600]
    assert len(shard) == 601


@pytest.mark.parametrize("at", [0, 5, 40, -9, -1])
def test_a_damaged_block_is_named_and_changes_nothing(at) -> None:
    """One flipped byte anywhere: the error names the block; the shard stays empty and usable."""
    data = bytearray(crowd().encode_block(1))
    data[at] ^= 0x41
    fresh = new_shard()
    with pytest.raises(CorruptBlockError, match=r"block 3/"):
        fresh.load_block(bytes(data))
    assert len(fresh) == 0
    assert len(apply(fresh, [click(0)]).interactions) == 1


def test_a_block_of_another_partition_is_refused() -> None:
    """Blocks know their partition: a mix-up of keys cannot mix people."""
    data = crowd().encode_block(0)
    other = UserShard(4, 0, Interner(), UserSettings(), ExperimentSettings())
    with pytest.raises(CorruptBlockError, match="partition 3"):
        other.load_block(data)


def test_any_bytes_give_the_one_error() -> None:
    """Truncated, empty, or valid zstd of something else."""
    good = crowd(20).encode_block(0)
    for bad in (b"", good[: len(good) // 2], bytes(cramjam.zstd.compress(b"hello")), b"\x00" * 100):
        with pytest.raises(CorruptBlockError):
            new_shard().load_block(bad)


def test_a_damaged_checkpoint_is_refused() -> None:
    """A flipped byte in the checkpoint row is an error, not another offset."""
    data = bytearray(crowd().encode_checkpoint())
    data[-3] ^= 1
    with pytest.raises(CorruptBlockError, match="checkpoint"):
        new_shard().load_checkpoint(bytes(data))
    with pytest.raises(CorruptBlockError):
        Checkpoint.decode(b"")


def test_a_checkpoint_says_how_far_the_state_has_come() -> None:
    """Applied offset, cover, clock and sources come back."""
    shard = crowd()
    shard.last_decided = 17
    row = shard.checkpoint()
    assert Checkpoint.decode(row.encode()) == row
    assert (row.applied, row.cover_end, row.last_decided) == (1885, 1885, 17)
    assert row.sources == (("clicks", 0, 0, 1799, 0),)
    assert reborn(shard).checkpoint() == row


def test_another_life_of_the_topic_keeps_people_and_begins_offsets_anew() -> None:
    """Restored under a new incarnation: offset 0 is to be applied, histories are there."""
    shard = crowd()
    fresh = UserShard(3, 1, Interner(), UserSettings(), ExperimentSettings(holdout=0.2))
    fresh.restore(shard.checkpoint(), dump(shard).values())
    assert (fresh.applied, fresh.cover_end) == (-1, -1)
    assert apply(fresh, [click(10**4, "user 3", at=10**4)]).interactions.age.tolist() == [3]


def test_the_cover_runs_from_the_last_block_with_rows() -> None:
    """A run without rows is covered by the next block."""
    shard = new_shard()
    apply(shard, [click(0)])
    empty = apply(shard, [click(0, source=77)])
    assert len(empty) == 0
    got = apply(shard, [click(2, at=1)])
    assert (got.after, got.to) == (0, 2)
    block = got.to_block(shard.items)
    assert (block.cover.after, block.cover.to, block.cover.partition) == (0, 2, 3)


def test_a_block_of_signals_has_a_dictionary_of_its_own() -> None:
    """Indices of rows and contexts point to the item ids, each once."""
    shard = new_shard()
    apply(shard, [click(k, item=f"i{k}", at=k) for k in range(5)])
    got = apply(shard, [click(5, item="i2", at=5), decision("d0", "e5", items=("i9", "i2"), at=6)])
    block = got.to_block(shard.items)
    assert len(set(block.items)) == len(block.items)
    assert block.items[block.interactions.item[0]] == "i2"
    assert [block.items[i] for i in block.interactions.ctx_item] == ["i4", "i3", "i2", "i1", "i0"]
    assert [block.items[i] for i in block.exposures.item] == ["i9", "i2"]


def test_names_are_found_among_many_and_after_erasures() -> None:
    """4,000 ids, three of four erased: the rest are found where they were, and memory is closed up."""
    shard = new_shard()
    apply(shard, [click(k, f"user {k}", at=k) for k in range(4000)])
    before = shard.names.end
    apply(shard, [Erase(f"user {k}", T0) for k in range(4000) if k % 4])
    slots = shard.slots_of([f"user {k}" for k in range(4000)])
    assert (slots[::4] == np.arange(0, 4000, 4)).all()
    assert (slots.reshape(1000, 4)[:, 1:] == -1).all()
    assert shard.names.end < 0.5 * before


def test_packed_strings_come_back() -> None:
    """Any mixture of scripts and lengths."""
    strings = ["", "a", "ä" * 300, "日本", "x" * 1024]
    packed = Packed(strings)
    assert list(packed) == strings
    assert list(Packed.of_bytes(packed.data, np.diff(packed.start))) == strings
    assert len(set(packed.hashes().tolist())) == len(strings)


def test_a_horizon_beyond_what_hours_can_tell_is_refused() -> None:
    """The error names the key and the value."""
    with pytest.raises(SettingsError, match=r"users\.dedup_hours: 300"):
        new_shard(dedup_hours=300.0)


def test_keys_name_partition_and_block() -> None:
    """Block keys and the checkpoint's key differ."""
    assert block_key(3, 12) == b"3/12"
    assert Checkpoint(partition=3).key == b"3/checkpoint"


def test_a_block_is_not_loaded_over_people() -> None:
    """Twice the same block would be twice the history: refused."""
    shard = crowd()
    with pytest.raises(ValueError, match="block 3/0 is in this shard already"):
        shard.load_block(shard.encode_block(0))
