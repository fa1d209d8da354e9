"""What a person costs: limits on bytes and on the time of a restart."""

import pytest

from deploy.benchmarks import checkpoint, memory, restore, snapshot
from deploy.benchmarks.base import BenchArgs, Figure


def test_a_person_costs_less_than_600_bytes() -> None:
    """Median 20 events over a month, histories of 100, a crowd of 20,000."""
    found = memory.run(BenchArgs(options={**memory.OPTIONS, "items": 0})).figures
    assert found["bytes_per_user"] <= 600


@pytest.mark.slow
def test_an_item_costs_less_than_four_kilobytes(short: bool) -> None:
    """All that models hold after ten events an item, 100,000 items, vectors aside.

    Short: 5,000 items, whose arrays have just doubled and whose fixed reserves few share: half as much more.
    """
    found = memory.run(BenchArgs(options={**memory.OPTIONS, "people": 2000}, short=short)).figures
    assert found["bytes_per_item"] <= (6144 if short else 4096)


@pytest.mark.absolute
def test_a_million_people_are_back_within_10_cpu_seconds() -> None:
    """From blocks in memory to a shard that answers."""
    found = restore.run(BenchArgs(options=restore.OPTIONS, runs=3)).figures["seconds_per_million_users"]
    assert isinstance(found, Figure)
    assert found.median <= 10


def test_a_checkpoint_of_many_people_never_holds_the_loop_for_long(short: bool) -> None:
    """The longest step of the loop against that of encoding at once, in the same run.

    Of five runs the calmest: a step that is too long by itself is so in each of them.
    """
    found = checkpoint.run(BenchArgs(options=checkpoint.OPTIONS, short=short))
    slices, once = found.figures["longest_step_ms"], found.against["one step"]["longest_step_ms"]
    assert isinstance(slices, Figure)
    assert isinstance(once, Figure)
    assert slices.low <= once.median / (3 if short else 20)


@pytest.mark.slow
@pytest.mark.absolute
def test_a_million_people_and_100_000_items_are_written_and_read_in_ten_cpu_seconds_each() -> None:
    """Blocks of all people, and the snapshot of all models, there and back."""
    found = snapshot.run(BenchArgs(options=snapshot.OPTIONS, runs=3)).as_json()["figures"]
    assert found["seconds_to_write"] <= 10
    assert found["seconds_to_restore"] <= 10
