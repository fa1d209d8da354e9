"""The one language of all benchmarks: medians of several runs with their spread, and the machine.

A benchmark module ``deploy/benchmarks/NAME.py`` exposes ``run(args: BenchArgs) -> BenchResult`` and,
where it takes options, ``OPTIONS``: their names and defaults, which also give their types.  What it is
compared with is measured in the same run and stands under ``against``.
"""

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

Option = int | float | str
MIN_RUNS = 5


class Figure(msgspec.Struct, frozen=True):
    """The median of several runs, with the lowest and the highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """From one value per run.

        Raises
        ------
        ValueError
            For no values.

        Examples
        --------
        >>> Figure.of([3.0, 1.0, 2.0])
        Figure(median=2.0, low=1.0, high=3.0)
        """
        if not values:
            raise ValueError("a figure needs at least one run")
        return cls(float(statistics.median(values)), float(min(values)), float(max(values)))


Figures = Mapping[str, Figure | float]


class BenchArgs(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks of a benchmark.

    Parameters
    ----------
    runs
        Repetitions behind every median.
    short
        The form for tests: smaller inputs, the same code.
    options
        The module's ``OPTIONS``, overridden by the command line.
    """

    runs: int = MIN_RUNS
    short: bool = False
    options: Mapping[str, Option] = {}

    def whole(self, name: str) -> int:
        """An option that is a whole number."""
        return int(self.options[name])

    def number(self, name: str) -> float:
        """An option that is a number."""
        return float(self.options[name])

    def text(self, name: str) -> str:
        """An option that is a word."""
        return str(self.options[name])


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark measured.

    Parameters
    ----------
    bench
        Its name.
    figures
        Each a ``Figure``, or a plain number where repetition changes nothing (a recall, a size).
    against
        Peer or baseline to its figures of the same run.
    """

    bench: str
    figures: Figures
    against: Mapping[str, Figures] = {}

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints: ``bench``, ``machine``, ``figures``, ``against``.

        Every value under ``figures`` is a number: the median under the figure's own name, its spread
        under ``NAME_low`` and ``NAME_high``.

        Examples
        --------
        >>> BenchResult(bench="x", figures={"p50_ms": Figure(2.0, 1.0, 3.0)}).as_json()["figures"]
        {'p50_ms': 2.0, 'p50_ms_low': 1.0, 'p50_ms_high': 3.0}
        """
        return {
            "bench": self.bench,
            "machine": machine(),
            "figures": _flat(self.figures),
            "against": {peer: _flat(figures) for peer, figures in self.against.items()},
        }


class Benchmark(Protocol):
    """What a module of this package looks like."""

    def run(self, args: BenchArgs) -> BenchResult:
        """Measure."""


def repeat(measure: Callable[[], Mapping[str, float]], runs: int = MIN_RUNS) -> dict[str, Figure]:
    """Figures of ``runs`` calls of ``measure``, each of which returns one value per figure.

    Ratios belong inside ``measure``: a ratio of two halves of one run forgives a noisy machine, a ratio
    of two medians does not.

    Examples
    --------
    >>> values = iter([1.0, 5.0, 3.0])
    >>> repeat(lambda: {"x": next(values)}, runs=3)
    {'x': Figure(median=3.0, low=1.0, high=5.0)}
    """
    rows = [measure() for _ in range(runs)]
    return {name: Figure.of([row[name] for row in rows]) for name in rows[0]}


def machine() -> dict[str, Any]:
    """Where it ran: processor, usable cores, memory, system, Python, and how busy it was."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _flat(figures: Figures) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, figure in figures.items():
        if isinstance(figure, Figure):
            spread = {f"{name}_low": figure.low, f"{name}_high": figure.high}
            flat |= {name: figure.median} | spread
        else:
            flat[name] = float(figure)
    return flat
