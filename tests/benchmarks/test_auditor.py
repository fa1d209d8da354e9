"""What an audit costs: limits on ratios measured in one run."""

from deploy.benchmarks import auditor
from deploy.benchmarks.base import BenchArgs, Figure


def test_counting_costs_no_more_than_plain_sets() -> None:
    """Exact books with dedup, split and propensity checks, in no more CPU time than Python sets; at least
    100,000 rows a core-second, forty times what a busy deployment writes; 24 bytes a person.
    """
    found = auditor.run(BenchArgs(options=auditor.OPTIONS, short=True)).figures
    ratio, rate = found["ratio_to_plain"], found["rows_per_core_second"]
    assert isinstance(ratio, Figure)
    assert isinstance(rate, Figure)
    assert ratio.median >= 0.8
    assert rate.median >= 100_000
    assert found["bytes_per_person"] <= 24
