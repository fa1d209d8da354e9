"""How long events would wait in deployments of the plan's sizes: a simulation, no measurement.

Per rate, medians over seeds: ``mean_*`` and ``busiest_*``, utilisation of an event process; ``burst_*_s``,
the longest wait for the busiest one in a minute of which ten seconds bring twice as much; ``learner_*_s``,
the same of the learner; ``takeover_*_s``, from the loss of a process, with a session of ten seconds, until
its heirs have worked off what waited.
"""

import numpy as np

from deploy.benchmarks.base import BenchArgs, BenchResult, Figure
from deploy.queueing import simulate, takeover_seconds
from deploy.sizing import Advice, advise

RATES = (1_000, 10_000, 100_000, 1_000_000)


def run(args: BenchArgs) -> BenchResult:
    """Simulate every rate of the table in ``docs/scale.md``."""
    figures: dict[str, Figure | float] = {}
    for rate in RATES[:3] if args.short else RATES:
        plan = advise(rate)
        for name, values in _seen(plan, range(args.runs)).items():
            figures[f"{name}_{rate}"] = Figure.of(values)
    return BenchResult(bench="queueing", figures=figures)


def _seen(plan: Advice, seeds: range) -> dict[str, list[float]]:
    waits = np.array([simulate(plan, seed=seed) for seed in seeds]).T.tolist()
    seen = dict(zip(("busiest", "mean", "burst_s", "learner_s"), waits, strict=True))
    if plan.processes > plan.namespaces:
        seen["takeover_s"] = [takeover_seconds(plan, seed) for seed in seeds]
    return seen
