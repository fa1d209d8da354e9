"""What exploring costs: limits on ratios measured in one run."""

from deploy.benchmarks import policies
from deploy.benchmarks.base import BenchArgs, Figure


def median(figure: Figure | float) -> float:
    """Of the runs."""
    return figure.median if isinstance(figure, Figure) else figure


def test_exploration_is_cheap_in_regret_and_in_time() -> None:
    """A third of uniform choice's regret at most; a whole list of 10 out of 200, with probabilities, draws
    and diversity, within twenty times a greedy sort.
    """
    found = policies.run(BenchArgs(options=policies.OPTIONS, short=True)).figures
    assert median(found["thompson_to_uniform"]) < 0.35
    assert median(found["forgetting_to_not"]) < 1.0
    assert median(found["two_part_to_conversion"]) < 1.0
    assert median(found["ratio_to_greedy"]) < 20.0
