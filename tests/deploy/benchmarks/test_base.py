"""The one language of benchmarks."""

import json

import pytest

from deploy.benchmarks.base import BenchArgs, BenchResult, Figure, machine, repeat
from deploy.cli.verbs.bench import load, names


def test_a_result_prints_exactly_four_keys() -> None:
    """bench, machine, figures, against; every figure a number beside its spread."""
    result = BenchResult(
        bench="x",
        figures={"ms": Figure.of([3.0, 1.0, 2.0]), "recall": 0.9},
        against={"peer": {"ms": Figure.of([4.0])}},
    )
    printed = json.loads(json.dumps(result.as_json()))
    assert list(printed) == ["bench", "machine", "figures", "against"]
    assert printed["figures"] == {"ms": 2.0, "ms_low": 1.0, "ms_high": 3.0, "recall": 0.9}
    assert printed["against"]["peer"]["ms"] == 4.0


def test_a_figure_of_no_runs_is_refused() -> None:
    """A median needs values."""
    with pytest.raises(ValueError, match="at least one run"):
        Figure.of([])


def test_repeat_gathers_each_figure_over_the_runs() -> None:
    """The median of five runs, not of one."""
    runs = iter([5.0, 1.0, 4.0, 2.0, 3.0])
    assert repeat(lambda: {"ms": next(runs)}) == {"ms": Figure(3.0, 1.0, 5.0)}


def test_the_machine_is_described() -> None:
    """Enough to tell two machines apart."""
    assert machine()["cores"] >= 1
    assert machine()["memory_gib"] > 0


def test_options_are_read_as_asked() -> None:
    """Whole numbers, numbers and words."""
    args = BenchArgs(options={"items": 3, "share": 0.5, "name": "tea"})
    assert (args.whole("items"), args.number("share"), args.text("name")) == (3, 0.5, "tea")


@pytest.mark.parametrize("name", names())
def test_every_benchmark_module_keeps_the_contract(name: str) -> None:
    """A docstring that says what is measured, a callable ``run``, options with plain defaults."""
    module = load(name)
    assert (module.__doc__ or "").strip()
    assert callable(module.run)
    assert all(isinstance(v, int | float | str) for v in getattr(module, "OPTIONS", {}).values())
