"""The picture of an evaluation: learning curves, and how far predicted probabilities can be believed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.evaluation.report import Report
from deploy.tables import needs
from schemas.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS: Final = (".png", ".svg", ".pdf")
ENOUGH: Final = 50
"""Predictions of a bin that is drawn."""
COLOURS: Final = ("#1b5e9b", "#c4622d", "#6b6b6b")


def check(path: Path) -> None:
    """Find out before the run what would fail after it.

    Raises
    ------
    SettingsError
        matplotlib is missing, or there can be no such picture.
    """
    needs("matplotlib", "plot", "--plot")
    if path.suffix.lower() not in FORMATS:
        raise SettingsError(f"--plot: {str(path)!r}: end the name with one of {', '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise SettingsError(f"--plot: {str(path)!r}: there is no folder {str(path.absolute().parent)!r}")


def draw(report: Report, path: Path) -> None:
    """Write the picture."""
    figure = needs("matplotlib.figure", "plot", "--plot").Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _curves(left, report)
    _reliability(right, report)
    figure.suptitle(report.log.name, fontsize=10)
    figure.savefig(path, dpi=130)


def _curves(axes: "Axes", report: Report) -> None:
    courses = report.courses()
    events = courses.pop("event", [])
    for (label, values), colour in zip(courses.items(), COLOURS, strict=False):
        axes.plot(events, values, color=colour, label=label, linewidth=2)
    axes.set_title("Learning")
    axes.set(xlabel="events of the log", ylabel="NDCG@10, moving mean")
    axes.set_ylim(bottom=0)
    if courses:
        axes.legend(frameon=False)
    _plain(axes)


def _reliability(axes: "Axes", report: Report) -> None:
    """Bins of which nothing came show the end of their interval only: the axis knows no 0."""
    reliability = report.tally.reliability
    bins = [b for b in reliability.table() if b["n"] >= ENOUGH]
    hit = [b for b in bins if b["observed"] > 0]
    lowest = min([b[key] for b in hit for key in ("predicted", "observed")] + [0.1]) / 2
    axes.plot([lowest, 1], [lowest, 1], color=COLOURS[2], linestyle="--", label="predicted = observed")
    axes.vlines(
        [b["predicted"] for b in bins],
        [max(b["low"], lowest) for b in bins],
        [b["high"] for b in bins],
        color=COLOURS[0],
        label="95 %",
    )
    dots = [b["predicted"] for b in hit], [b["observed"] for b in hit]
    axes.plot(*dots, "o", color=COLOURS[0], markersize=5, label="candidates, binned")
    axes.set(xscale="log", yscale="log", xlim=(lowest, 1.2), ylim=(lowest, 1.2))
    axes.set_title(f"Reliability where the item was a candidate: {100 * reliability.share:.0f} % of tests")
    axes.set(xlabel="predicted probability of a candidate", ylabel="share that was the item that came")
    axes.legend(frameon=False, loc="lower right")
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, alpha=0.25)
