"""``streamwise bench``: measures one thing, against its peers, in one run."""

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import deploy.benchmarks
from deploy.benchmarks.base import MIN_RUNS, BenchArgs, BenchResult, Figure, Figures, Option
from deploy.cli.options import as_json
from deploy.cli.output import cell, print_json, print_pairs, print_table

FOLDER = Path(deploy.benchmarks.__file__).parent
NOT_BENCHMARKS = frozenset({"__init__", "base"})


def names() -> list[str]:
    """Every benchmark, sorted; files that begin with ``_`` are their helpers.

    Examples
    --------
    >>> "auditor" in names()
    True
    """
    return sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in NOT_BENCHMARKS and p.stem[0] != "_")


@click.command("bench", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("name", required=False)
@click.option("--runs", type=click.IntRange(min=1), default=MIN_RUNS, show_default=True)
@click.option("--short", is_flag=True, help="Smaller inputs, for tests.")
@as_json
@click.pass_context
def command(context: click.Context, name: str | None, *, runs: int, short: bool, as_json: bool) -> None:
    """Run benchmark NAME (without a name: list them).  Its own options follow as --option value."""
    if name is None:
        listing({n: summary(load(n)) for n in names()}, as_json=as_json)
        return
    module = load(name)
    options = overridden(getattr(module, "OPTIONS", {}), context.args)
    result: BenchResult = module.run(BenchArgs(runs=runs, short=short, options=options))
    if as_json:
        print_json(result.as_json())
    else:
        show(result)


def load(name: str) -> ModuleType:
    """The module of a benchmark.

    Raises
    ------
    click.UsageError
        There is none of that name, or one of its dependencies is not installed.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)[0]
        raise click.UsageError(f"name: {name!r}: no such benchmark; the nearest is {near}")
    try:
        return importlib.import_module(f"deploy.benchmarks.{name}")
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"name: {name}: needs the package {error.name}, which is not installed"
        ) from error


def overridden(defaults: Mapping[str, Option], arguments: list[str]) -> dict[str, Option]:
    """A benchmark's options with what the command line says, as their defaults' types.

    Raises
    ------
    click.UsageError
        Names the option, the value and what would be valid.

    Examples
    --------
    >>> overridden({"items": 2000, "share": 0.5}, ["--items", "100"])
    {'items': 100, 'share': 0.5}
    """
    options = dict(defaults)
    pairs = iter(arguments)
    for flag in pairs:
        key, sign, value = flag.removeprefix("--").partition("=")
        key = key.replace("-", "_")
        if not flag.startswith("--") or key not in defaults:
            valid = ", ".join(f"--{n.replace('_', '-')}" for n in defaults) or "none"
            raise click.UsageError(f"{flag}: no such option of this benchmark; it takes: {valid}")
        options[key] = _as_type(key, value if sign else next(pairs, ""), type(defaults[key]))
    return options


def _as_type(key: str, text: str, kind: type[Option]) -> Option:
    try:
        return kind(text)
    except ValueError as error:
        raise click.UsageError(f"--{key}: {text!r}: expected a value of type {kind.__name__}") from error


def summary(module: ModuleType) -> str:
    """First line of a benchmark's docstring."""
    return (module.__doc__ or "").partition("\n")[0]


def listing(found: Mapping[str, str], *, as_json: bool) -> None:
    """All benchmarks and what they measure."""
    if as_json:
        print_json(found)
    else:
        print_pairs(found)


def show(result: BenchResult) -> None:
    """The result as a table: medians with their spread."""
    rows = [*rows_of("streamwise", result.figures)]
    for peer, figures in result.against.items():
        rows += rows_of(peer, figures)
    print_table(("who", "figure", "median", "low", "high"), rows, title=result.bench)
    print_pairs(result.as_json()["machine"])


def rows_of(who: str, figures: Figures) -> list[tuple[Any, ...]]:
    """Figures of one participant as table rows."""
    rows: list[tuple[Any, ...]] = []
    for name, figure in figures.items():
        known = figure if isinstance(figure, Figure) else Figure(figure, figure, figure)
        rows.append((who, name, cell(known.median), cell(known.low), cell(known.high)))
    return rows
