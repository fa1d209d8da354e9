"""What a person costs: limits on bytes and on the time of a restart."""

import pytest

from deploy.benchmarks import memory, restore
from deploy.benchmarks.base import BenchArgs, Figure


def test_a_person_costs_less_than_600_bytes() -> None:
    """Median 20 events over a month, histories of 100, a crowd of 20,000."""
    found = memory.run(BenchArgs(options=memory.OPTIONS)).figures
    assert found["bytes_per_user"] <= 600


@pytest.mark.absolute
def test_a_million_people_are_back_within_30_cpu_seconds() -> None:
    """From blocks in memory to a shard that answers."""
    found = restore.run(BenchArgs(options=restore.OPTIONS, runs=3)).figures["seconds_per_million_users"]
    assert isinstance(found, Figure)
    assert found.median <= 30
