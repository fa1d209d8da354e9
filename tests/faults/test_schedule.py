"""Random faults from the whole menu, for as long as asked: three workers, three brokers, one oracle."""

import itertools
from pathlib import Path
from time import monotonic

import pytest

from tests.faults.cluster import Cluster
from tests.faults.menu import MENU
from tests.faults.rounds import one_round, suffer
from tests.verdict import acquit

ROUND_SECONDS = 540.0
SHORTEST_SECONDS = 120.0
"""A schedule with less time than this left begins no further round."""


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.long_form("long form only: rounds of nine minutes")
async def test_random_faults(three: Cluster, tmp_path: Path, until: float, request):
    """Round after round, each a deployment of its own with seeded faults, until the time is over."""
    seed, wrong, told = int(request.config.getoption("--seed")), {}, []
    for number in itertools.count():
        left = until - monotonic()
        if number and left < SHORTEST_SECONDS:
            break
        end = monotonic() + max(SHORTEST_SECONDS, min(ROUND_SECONDS, left))
        async with one_round(three, tmp_path / f"round{number}", seed + number) as this:
            while monotonic() < end:
                names = map(str, this.stage.random.permutation(list(MENU)))
                await suffer(this.stage, names, end)
        if this.wrong:
            wrong[seed + number] = this.wrong
        told += this.stage.told
    acquit(wrong)
    assert told == [], "\n".join(told)
