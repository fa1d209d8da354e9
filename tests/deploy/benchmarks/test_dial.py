"""The benchmark of the dial, on a prefix of the shipped log."""

from deploy.benchmarks.base import BenchArgs
from deploy.benchmarks.dial import DIALS, OPTIONS, run


def test_the_dial_trades_relevance_for_variety() -> None:
    """On real purchases: the ends of the dial differ in the right direction, and relevance pays for it."""
    result = run(BenchArgs(short=True, options=OPTIONS)).figures
    low, high = f"{DIALS[0]:g}", f"{DIALS[-1]:g}"
    assert result["tests"] == 400
    assert result[f"novelty_{high}"] > result[f"novelty_{low}"]
    assert result[f"ild_{high}"] > result[f"ild_{low}"]
    assert 0 < result[f"ndcg_{high}"] <= result[f"ndcg_{low}"]
