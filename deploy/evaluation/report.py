"""What an evaluation prints: one object, or tables and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import click

from deploy.cli.output import print_json, print_table
from deploy.evaluation.logs import Log
from models.evaluation.ablation import Dropped, sentence
from models.evaluation.contest import FUSED, RANK_FUSION
from models.evaluation.curves import curves, usual
from models.evaluation.metrics import SEGMENTS
from models.evaluation.tally import STRUCK, Tally
from models.evaluation.verdict import Question, verdict

LABELS: Final = {RANK_FUSION: "rank fusion"}
Summary = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """One evaluation.

    Parameters
    ----------
    log, tally
        What was walked, and what was counted.
    question
        What the verdict is about.
    without
        Parts that were left out of the engine.
    ablation
        What the fused list is without each part.
    """

    log: Log
    tally: Tally
    question: Question
    without: Sequence[str] = ()
    ablation: list[Dropped] = field(default_factory=list)

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """Figures of every contestant; empty where nothing was tested."""
        return self.tally.summaries() if len(self.tally) else {}

    @cached_property
    def best(self) -> str | None:
        """The best single component."""
        return self.tally.best(self.question.components) if len(self.tally) else None

    @cached_property
    def verdict(self) -> str:
        """The figures in words, the ablation's included."""
        text = verdict(self.tally, self.question)
        if not self.ablation:
            return text
        return f"{text} {sentence(self.ablation, self.tally.mean(FUSED))}"

    def courses(self) -> dict[str, list[float]]:
        """Learning curves of the usual contestants."""
        if not len(self.tally):
            return {}
        popularity = self.question.popularity
        return curves(self.tally, usual(self.tally, tuple(self.question.components), popularity))


def as_object(report: Report) -> dict[str, Any]:
    """The object of ``--json``."""
    found, popularity, best = report.summaries, report.question.popularity, report.best
    tally = report.tally
    return {
        "log": _log(report),
        "without": list(report.without),
        "fused": found.get(FUSED, {}),
        "components": {name: found[name] for name in report.question.components if name in found},
        "baselines": {
            "popularity": found.get(popularity or "", {}),
            "rank_fusion": found.get(RANK_FUSION, {}),
            "best_single": {"name": best, **(found[best] if best else {})},
        },
        "differences": _differences(report),
        "parts": tally.margins.shares() if tally.margins else {},
        "reliability": {"share": tally.reliability.share, "bins": tally.reliability.table()},
        "curves": report.courses(),
        "ablation": report.ablation,
        "verdict": report.verdict,
    }


def _log(report: Report) -> dict[str, Any]:
    log, tally = report.log, report.tally
    return {
        "name": log.name,
        "events": tally.events,
        "tests": len(tally),
        "people": tally.people,
        "items": tally.items,
        "columns": log.columns,
        "time_unit": log.unit,
        "from": _day(log, 0),
        "to": _day(log, tally.events - 1),
        "repeats": tally.repeats / max(tally.events, 1),
        "tied": tally.tied / max(tally.events, 1),
    }


def _differences(report: Report) -> dict[str, Any]:
    """Paired differences of the fused list's NDCG@10 to others, with 95 % intervals."""
    if report.best is None:
        return {}
    others = {
        "best_single": report.best,
        "popularity": report.question.popularity,
        "rank_fusion": RANK_FUSION,
    }
    if report.question.keep_seen:
        others["own_items_struck_out"] = STRUCK
    return {
        label: dict(zip(("mean", "low", "high"), report.tally.advantage(FUSED, name), strict=True))
        for label, name in others.items()
        if name
    }


def print_report(report: Report, *, as_json: bool) -> None:
    """One object, or tables and a verdict in plain words."""
    if as_json:
        print_json(as_object(report))
        return
    log, tally = report.log, report.tally
    span = f", {_day(log, 0)} to {_day(log, tally.events - 1)}" if tally.events else ""
    people, items = f"{tally.people:,} people", f"{tally.items:,} items"
    click.echo(f"{log.name}: {tally.events:,} events of {people} and {items}{span}, {len(tally):,} tests")
    click.echo(f"({log.reading()})")
    if report.summaries:
        _contestants(report)
        _segments(report)
    if report.ablation:
        _ablation(report.ablation)
    click.echo(report.verdict)


def _contestants(report: Report) -> None:
    names = [FUSED, RANK_FUSION, *report.question.components]
    found = {LABELS.get(name, name): report.summaries[name] for name in names}
    heads = ("list", "NDCG@10", "95 %", "HR@10", "last half", "cold users")
    title = f"without {', '.join(report.without)}" if report.without else None
    print_table(heads, [_good(name, summary) for name, summary in found.items()], title=title)
    heads = ("list", "MRR@100", "DCG@100", "coverage@10", "novelty@10", "ILD@10")
    print_table(heads, [_like(name, summary) for name, summary in found.items()])


def _good(name: str, summary: Summary) -> tuple[object, ...]:
    whole = summary["all"]
    return (
        name,
        round(whole["NDCG@10"], 4),
        f"{whole['NDCG@10_low']:.3f}–{whole['NDCG@10_high']:.3f}",
        round(whole["HR@10"], 4),
        round(summary["last50"]["NDCG@10"], 4),
        round(summary["cold_user"]["NDCG@10"], 4),
    )


def _like(name: str, summary: Summary) -> tuple[object, ...]:
    whole, distance = summary["all"], summary["ILD@10"]
    return (
        name,
        round(whole["MRR@100"], 4),
        round(whole["DCG@100"], 4),
        round(summary["coverage@10"], 3),
        round(summary["novelty@10"], 2),
        None if distance is None else round(distance, 3),
    )


def _segments(report: Report) -> None:
    """NDCG@10 by segment of those that the verdict speaks of."""
    shown = {"fused": FUSED, "best single": report.best, "popularity": report.question.popularity}
    names = {label: name for label, name in shown.items() if name}
    rows = []
    for segment in SEGMENTS:
        figures = {label: report.summaries[name][segment] for label, name in names.items()}
        rows.append((segment, figures["fused"]["n"], *(_with_interval(f) for f in figures.values())))
    print_table(("segment", "tests", *names), rows, title="NDCG@10 by segment, 95 %")


def _with_interval(figures: Mapping[str, float]) -> str:
    """A mean and its interval, short.

    Examples
    --------
    >>> _with_interval({"n": 9, "NDCG@10": 0.1, "NDCG@10_low": 0.09, "NDCG@10_high": 0.125})
    '0.1000 .090–.125'
    """
    if not figures["n"]:
        return "–"
    low, high = (f"{figures[f'NDCG@10_{end}']:.3f}".removeprefix("0") for end in ("low", "high"))
    return f"{figures['NDCG@10']:.4f} {low}–{high}"


def _ablation(rows: Sequence[Dropped]) -> None:
    cells = [
        (
            row.without,
            round(row.ndcg, 4),
            f"{row.difference:+.4f}",
            f"{row.low:+.4f} … {row.high:+.4f}",
            f"{row.last_half:+.4f}",
        )
        for row in sorted(rows, key=lambda row: row.difference)
    ]
    heads = ("without", "NDCG@10", "difference", "95 %, paired", "last half")
    print_table(heads, cells, title="Ablation: the fused list without a part")


def _day(log: Log, at: int) -> str | None:
    """The date of an event, None without one."""
    return datetime.fromtimestamp(log.events[at].t, UTC).date().isoformat() if log.events else None
