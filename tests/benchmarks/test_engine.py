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


@pytest.mark.absolute
def test_a_fast_stream_costs_at_most_twenty_five_microseconds_an_event(short):
    """20,000 events a second: counts learn every row, gradients the share that their budget leaves."""
    found = figures(learn, short=short)
    assert found["us_per_event_sampled"] <= 25
    assert 0.05 <= found["share"] <= 0.2


def test_sampling_the_gradients_pays(short):
    """The fast stream costs at most 0.85 of the calm one, per event, in the same run."""
    found = figures(learn, short=short)
    assert found["us_per_event_sampled"] <= 0.85 * found["us_per_event"]
