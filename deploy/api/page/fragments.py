"""The parts of the page that change, each a function of the live view."""

import math
from collections.abc import Sequence

from deploy.api.latency import EDGES_MS
from deploy.api.live import VISITOR, LiveView
from deploy.api.page import changes
from deploy.api.page.charts import funnel, latency_histogram, meter, sparkline
from deploy.api.page.words import (
    RUNG_WORDS,
    VERBS,
    VERDICT_WORDS,
    clock,
    duration,
    rate,
    share,
    short,
    signed_share,
    text,
)
from deploy.api.tape import Entry
from deploy.api.titles import Title
from schemas.ladder import RUNGS
from schemas.reports import CausalReport

TAPE_ROWS = 16
METRIC_WORDS = {"click": "Clicks", "purchase": "Purchases"}


def shared(view: LiveView, now: int) -> dict[str, str]:
    """The fragments that are the same on every page, by the id of the element that each fills."""
    return {
        "pulse": pulse(view, now),
        "spotlight": list_of(view, view.spotlight(now), acts=False),
        "scores": scores(view),
        "causal": causal(view),
        "latency": latency(view),
    }


def personal(view: LiveView, you: str, followed: str) -> dict[str, str]:
    """The fragments that depend on who looks, and on whom they follow."""
    found = {"news": news(view, you), "you": list_of(view, you, acts=True), "tape": tape(view, you)}
    return found | ({"spotlight": list_of(view, followed, acts=False)} if followed else {})


def pulse(view: LiveView, now: int) -> str:
    """The figures of the header."""
    newest = view.rungs.most_common(1)
    rung = newest[0][0] if newest else "–"
    figures = (
        ("events / s", rate(view.event_rate.per_second(now)), ""),
        ("lists / s", rate(view.list_rate.per_second(now)), ""),
        ("median, event → list", duration(view.latencies.quantile(0.5)), ""),
        ("99th percentile", duration(view.latencies.quantile(0.99)), ""),
        ("rung", text(rung), "good" if rung == "full" else "warn"),
    )
    return "".join(
        f'<div class="figure {kind}"><span class="value">{value}</span>'
        f'<span class="label">{label}</span></div>'
        for label, value, kind in figures
    )


def tape(view: LiveView, you: str) -> str:
    """The newest events, newest first."""
    rows = "".join(_entry(view, entry, you) for entry in view.tape.newest(TAPE_ROWS))
    return (
        f'<ol class="tape">{rows}</ol>' if rows else _empty("No events yet: send one to the topic “clicks”.")
    )


def news(view: LiveView, you: str) -> str:
    """What the visitor's last deed changed."""
    change = view.lists.change(you)
    if change is None:
        return "Your first list is on its way."
    return changes.news(change, view.tape.of(change.after.trigger_id), view.titles)


def list_of(view: LiveView, user: str, *, acts: bool) -> str:
    """A person's list before and after."""
    change = view.lists.change(user) if user else None
    if change is None:
        who = "Asking for your first list…" if acts else "No list has changed yet."
        return _empty(f"{who} It appears here as soon as the stream has answered.")
    return changes.panel(change, view.tape.of(change.after.trigger_id), view.titles, acts=acts)


def shelf(found: Sequence[tuple[str, Title]], asked: str) -> str:
    """Products that match a search, each with buttons."""
    rows = "".join(
        f'<li data-item="{text(item_id)}"><span class="name">{text(title.text)}</span>'
        f'<span class="why">{text(title.category)}</span>'
        f"{changes.act_form({'item_id': item_id}, title.text)}</li>"
        for item_id, title in found
    )
    if rows:
        return f'<ul class="shelf">{rows}</ul>'
    return _empty(f"Nothing is called “{text(asked)}”.") if asked else ""


def scores(view: LiveView) -> str:
    """Live prequential scores, best first."""
    found = view.scores.scores()
    if not found:
        return _empty("Scores appear with the first probes of the signals log.")
    top = max(s.ndcg for s in found)
    peak = max(max(s.course) for s in found)
    rows = "".join(
        f'<li class="{"fused" if s.name in ("fused", "rank fusion") else ""}">'
        f'<span class="name">{text(s.name.replace("_", " "))}</span>{meter(s.ndcg, top, "score")}'
        f'<span class="number">{s.ndcg:.4f}</span>{sparkline(s.course, peak)}{_overlap(s.overlap)}</li>'
        for s in found
    )
    note = f"NDCG@10 over the last {len(view.scores):,} probes, each ranked before anything learned from it"
    agreement = view.scores.agreement()
    if agreement is not None:
        note += (
            f"; beside it the overlap of the list with those of the other components "
            f"(rank-biased, first ten places), {share(agreement)} on average"
        )
    return f'<ol class="scores">{rows}</ol><p class="note">{note}</p>'


def causal(view: LiveView) -> str:
    """The newest report of each metric."""
    if not view.reports:
        return _empty("The auditor’s first check appears here.")
    return "".join(_strip(list(view.reports[metric])) for metric in sorted(view.reports))


def latency(view: LiveView) -> str:
    """Histogram, quantiles and rungs."""
    p50, p99 = view.latencies.quantile(0.5), view.latencies.quantile(0.99)
    ticks = "".join(f"<li>{edge if edge < 1000 else f'{edge // 1000} s'}</li>" for edge in EDGES_MS)
    figures = f'<b class="p50">p50 {duration(p50)}</b> <b class="p99">p99 {duration(p99)}</b>'
    return (
        f'<p class="figures">{figures} <span class="note">{len(view.latencies):,} lists of the last minute'
        f"</span></p>{latency_histogram(view.latencies.histogram(), p50, p99)}"
        f'<ol class="ticks" aria-label="Upper edges, ms">{ticks}<li>∞</li></ol>{_rungs(view)}'
    )


def _overlap(value: float | None) -> str:
    shown = "–" if value is None else share(value)
    return f'<span class="overlap" title="Overlap with the other components’ lists">{shown}</span>'


def _rungs(view: LiveView) -> str:
    counts = view.rungs
    total = max(sum(counts.values()), 1)
    rows = "".join(
        f'<li class="{"on" if counts[rung] else "off"}"><span class="name">{rung}</span>'
        f"{meter(counts[rung], total, 'good' if rung == 'full' else 'warn')}"
        f'<span class="number">{share(counts[rung] / total) if counts[rung] else "0"}</span>'
        f'<span class="why">{RUNG_WORDS[rung]}</span></li>'
        for rung in RUNGS
    )
    return f'<h3>Degradation ladder</h3><ol class="rungs">{rows}</ol>'


def _entry(view: LiveView, entry: Entry, you: str) -> str:
    title = view.titles.of(entry.item_id).text if entry.item_id else ""
    mine = entry.user_id == you
    who = "you" if mine else "a visitor" if entry.user_id.startswith(VISITOR) else short(entry.user_id, 20)
    name = (
        f"<b>{who}</b>"
        if mine or entry.user_id.startswith(VISITOR)
        else (
            f'<button class="who" data-follow="{text(entry.user_id)}" title="Follow this person">'
            f"{who}</button>"
        )
    )
    return (
        f'<li class="{text(entry.kind)}{" mine" if mine else ""}" data-row="{text(entry.event_id)}">'
        f"<time>{clock(entry.seen)[:8]}</time><span>{name} {VERBS.get(entry.kind, text(entry.kind))} "
        f'<span class="what">{text(title)}</span></span></li>'
    )


def _strip(reports: Sequence[CausalReport]) -> str:
    newest = reports[-1]
    failed = [f"{text(g.name)}: {text(g.reason)}" for g in newest.gates if not g.passed]
    withheld = newest.estimate is None or newest.lower is None or newest.upper is None
    lift = "withheld" if withheld else signed_share(newest.estimate or 0)
    ends = "" if withheld else f"{signed_share(newest.lower or 0)[:-2]} … {signed_share(newest.upper or 0)}"
    facts = (
        ("interval", ends or "–"),
        ("e-value, worse", _e_value(newest.log_e_down)),
        ("e-value, better", _e_value(newest.log_e_up)),
        ("e-value, split (SRM)", _e_value(newest.log_e_srm)),
        ("persons", f"{newest.n_treatment:,} / {newest.n_holdout:,}"),
        ("first rewards", f"{newest.events_treatment:,} / {newest.events_holdout:,}"),
    )
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    why = f'<p class="note">{"; ".join(failed)}</p>' if failed else ""
    return (
        f'<div class="strip {text(newest.verdict)}"><div class="head">'
        f"<h3>{METRIC_WORDS.get(newest.metric)}</h3>"
        f'<span class="lift">{lift}</span><span class="verdict">{VERDICT_WORDS[newest.verdict]}</span></div>'
        f"{funnel(reports)}<dl>{rows}</dl>{why}</div>"
    )


def _e_value(log_e: float) -> str:
    """``exp(log_e)``, readable from tiny to huge."""
    if log_e > 13:
        return f"10<sup>{log_e / math.log(10):.0f}</sup>"
    value = math.exp(log_e)
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _empty(sentence: str) -> str:
    return f'<p class="empty">{sentence}</p>'
