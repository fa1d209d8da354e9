"""What the engine costs: whole lists, and folding."""

import pytest

from deploy.benchmarks import learn, recommend
from deploy.benchmarks.base import BenchArgs

pytestmark = pytest.mark.slow


def figures(module, *, short: bool) -> dict[str, float]:
    found: dict[str, float] = module.run(BenchArgs(runs=5, short=short, options=module.OPTIONS)).as_json()[
        "figures"
    ]
    return found


def test_whole_lists_cost_at_most_twenty_times_a_bare_top_ten(short):
    """Five models, a head, probabilities and reasons, beside one matrix product and a partition."""
    assert figures(recommend, short=short)["ratio_to_top_ten"] >= 0.05


@pytest.mark.absolute
def test_fifteen_hundred_whole_lists_a_second(short):
    """2,000 items, batches of 64, one thread."""
    assert figures(recommend, short=short)["lists_per_second"] >= 1500


@pytest.mark.absolute
def test_folding_costs_at_most_sixty_microseconds_an_event(short):
    """Every fold on every row, blocks of 1,000."""
    assert figures(learn, short=short)["us_per_event"] <= 60
