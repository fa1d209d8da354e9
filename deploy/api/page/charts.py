"""Small drawings as inline SVG: no script draws anything, and no style attribute is needed."""

from collections.abc import Mapping, Sequence

from deploy.api.latency import EDGES_MS
from deploy.api.page.words import text
from schemas.ids import stable_hash
from schemas.reports import CausalReport

WIDTH = 1000
KNOWN = {
    "transitions": 0,
    "factors": 1,
    "content": 2,
    "repeats": 3,
    "popularity": 4,
    "neighbours": 5,
    "boost": 6,
    "exploration": 7,
    "diversity": 8,
    "novelty": 9,
}
"""Each part's colour, the same on every page: ``page.css`` has the classes ``p0`` … ``p9``."""

OTHERS = 6
"""A part that is not listed above takes one of the first colours, by its name."""


def colour(part: str) -> int:
    """A part's colour.

    Examples
    --------
    >>> colour("content"), colour("diversity"), 0 <= colour("a new one") < OTHERS
    (2, 8, True)
    """
    return KNOWN.get(part, stable_hash(part) % OTHERS)


def stacked_bar(parts: Mapping[str, float], low: float, high: float) -> str:
    """A bar of parts: what adds goes right of zero, what takes away goes left.

    Parameters
    ----------
    low, high
        Of the common scale: the most negative and the most positive sum of any row.
    """
    span = max(high - low, 1e-9)
    zero = -low / span * WIDTH
    left = right = zero
    drawn = []
    for name, value in sorted(parts.items(), key=lambda part: colour(part[0])):
        width = abs(value) / span * WIDTH
        if width < 1:
            continue
        left, x = (left - width, left - width) if value < 0 else (left, right)
        right = right + width if value >= 0 else right
        drawn.append(
            f'<rect class="p{colour(name)}" x="{x:.0f}" y="0" width="{width:.0f}" height="10">'
            f"<title>{text(name)} {value:+.3f}</title></rect>"
        )
    label = ", ".join(f"{name} {value:+.2f}" for name, value in parts.items() if value)
    return (
        f'<svg class="bar" viewBox="0 0 {WIDTH} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(label)}">{"".join(drawn)}'
        f'<line class="zero" x1="{zero:.0f}" x2="{zero:.0f}" y1="0" y2="10"/></svg>'
    )


def links(moves: Sequence[tuple[int, int]], rows: int) -> str:
    """Curves from places of the former list to places of the newer one."""
    drawn = []
    for old, new in moves:
        y0, y1 = 100 * old + 50, 100 * new + 50
        kind = "up" if new < old else "down" if new > old else "same"
        drawn.append(f'<path class="{kind}" d="M0 {y0} C50 {y0} 50 {y1} 100 {y1}"/>')
    return (
        f'<svg class="links" viewBox="0 0 100 {100 * rows}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(drawn)}</svg>"
    )


def sparkline(course: Sequence[float], top: float) -> str:
    """A course from left to right; ``top`` is the scale's upper end."""
    if len(course) < 2:
        return ""
    step = 100 / (len(course) - 1)
    points = " ".join(
        f"{i * step:.1f},{30 - 28 * min(v / max(top, 1e-9), 1):.1f}" for i, v in enumerate(course)
    )
    return (
        '<svg class="spark" viewBox="0 0 100 31" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{points}"/></svg>'
    )


def meter(value: float, top: float, kind: str) -> str:
    """A plain horizontal bar."""
    width = WIDTH * min(max(value / max(top, 1e-9), 0), 1)
    return (
        f'<svg class="meter {kind}" viewBox="0 0 {WIDTH} 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="{WIDTH}" height="10"/>'
        f'<rect class="value" width="{width:.0f}" height="10"/></svg>'
    )


def latency_histogram(counts: Sequence[int], p50: float | None, p99: float | None) -> str:
    """Bins of equal width on a logarithmic scale, with both quantiles marked."""
    top = max(*counts, 1)
    wide = WIDTH / len(counts)
    bars = [
        f'<rect class="bin" x="{i * wide + 3:.0f}" y="{200 - 190 * n / top:.0f}" width="{wide - 6:.0f}" '
        f'height="{190 * n / top:.0f}"><title>{_bin(i)}: {n} lists</title></rect>'
        for i, n in enumerate(counts)
    ]
    marks = [
        f'<line class="{kind}" x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="200"/>'
        for kind, value in (("p50", p50), ("p99", p99))
        if value is not None
        for x in (wide * _place(value),)
    ]
    return (
        f'<svg class="hist" viewBox="0 0 {WIDTH} 200" preserveAspectRatio="none" role="img" '
        f'aria-label="Histogram of event to list times">{"".join(bars)}{"".join(marks)}'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="200" y2="200"/></svg>'
    )


def funnel(reports: Sequence[CausalReport]) -> str:
    """The lift and its interval over the checks: it narrows as events come in."""
    shown = [r for r in reports if r.lower is not None and r.upper is not None and r.estimate is not None][
        -60:
    ]
    if not shown:
        return '<div class="nofunnel">the interval appears when enough events are in</div>'
    reach = min(1.1 * max(abs(end or 0) for r in shown[-20:] for end in (r.lower, r.upper)), 3.0)
    step = WIDTH / max(len(shown) - 1, 1)

    def at(i: int, value: float) -> str:
        return f"{i * step:.0f},{100 - 100 * max(min(value / reach, 1), -1):.1f}"

    upper = [at(i, r.upper or 0) for i, r in enumerate(shown)]
    lower = [at(i, r.lower or 0) for i, r in enumerate(shown)]
    middle = [at(i, r.estimate or 0) for i, r in enumerate(shown)]
    if len(shown) == 1:
        upper, lower, middle = (
            [one[0], f"{WIDTH},{one[0].partition(',')[2]}"] for one in (upper, lower, middle)
        )
    return (
        f'<svg class="funnel" viewBox="0 0 {WIDTH} 200" preserveAspectRatio="none" role="img" '
        f'aria-label="Course of the lift and its interval">'
        f'<polygon points="{" ".join(upper + lower[::-1])}"/>'
        f'<line class="zero" x1="0" x2="{WIDTH}" y1="100" y2="100"/>'
        f'<polyline points="{" ".join(middle)}"/></svg>'
    )


def _bin(index: int) -> str:
    if index == len(EDGES_MS):
        return f"above {EDGES_MS[-1]} ms"
    return f"{EDGES_MS[index - 1] if index else 0} to {EDGES_MS[index]} ms"


def _place(value: float) -> float:
    """Where a value stands among the bins, as a fraction of bins."""
    edges = (0, *EDGES_MS)
    for i in range(len(EDGES_MS)):
        if value <= edges[i + 1]:
            return i + (value - edges[i]) / (edges[i + 1] - edges[i])
    return len(EDGES_MS) + 0.5
