"""What fault runs write down, one JSON line a fact, and the tables made of it.

``python -m tests.faults.report FILE`` prints the tables for ``docs/reliability.md``.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

VARIABLE = "FAULT_REPORT"
"""Path of the file; empty: nothing is written."""


def note(kind: str, **facts: Any) -> None:
    """Append a fact of the test that runs."""
    if path := os.environ.get(VARIABLE):
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("/")[2].rpartition(" (")[0]
        with Path(path).open("ab") as file:
            file.write(msgspec.json.encode({"kind": kind, "test": test, **facts}) + b"\n")


def read_report(path: Path) -> list[dict[str, Any]]:
    """All facts of a file."""
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *(map(str, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fault_table(facts: Iterable[dict[str, Any]]) -> str:
    """Every kind of fault: how often, how long until everything asked was answered after it."""
    times: defaultdict[str, list[float | None]] = defaultdict(list)
    falls: defaultdict[str, int] = defaultdict(int)
    for fact in facts:
        if fact["kind"] == "fault":
            times[fact["name"]].append(fact["recovery_seconds"])
            falls[fact["name"]] += fact["fell"]
    rows = [(name, len(t), *middle_and_worst(t), falls[name]) for name, t in sorted(times.items())]
    return table(
        ("fault", "times", "recovery, median s", "worst s", "workers that ended by themselves"), rows
    )


def middle_and_worst(times: Iterable[float | None]) -> tuple[str, str]:
    """Median and maximum; a dash where nothing was to recover by itself."""
    known = [t for t in times if t is not None]
    return (f"{median(known):.1f}", f"{max(known):.1f}") if known else ("–", "–")


def verdict_table(facts: Iterable[dict[str, Any]]) -> str:
    """Every judgement of the oracle."""
    rows = [
        (
            fact["test"],
            fact["seed"],
            fact["sent"],
            fact["lost"],
            fact["doubled"],
            ", ".join(fact["wrong"]) or "nothing",
            fact["counts"]["decisions"],
            fact["counts"]["decided_twice"],
            fact["counts"]["published_again"],
        )
        for fact in facts
        if fact["kind"] == "verdict"
    ]
    heads = ("test", "seed", "events", "lost", "doubled", "wrong", "decisions", "second ones", "shown again")
    return table(heads, rows)


def test_table(facts: Iterable[dict[str, Any]]) -> str:
    """Every test, its outcome and how long it took."""
    rows = [(f["test"], f["outcome"], f"{f['seconds']:.0f}") for f in facts if f["kind"] == "test"]
    return table(("test", "outcome", "s"), rows)


if __name__ == "__main__":
    found = read_report(Path(sys.argv[1]))
    print(fault_table(found), verdict_table(found), test_table(found), sep="\n\n")
