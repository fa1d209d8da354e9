"""One person's list, before and after, with its parts and probabilities."""

from collections.abc import Sequence

from deploy.api.lists import Change
from deploy.api.page.charts import colour, links, stacked_bar
from deploy.api.page.words import VERBS, clock, duration, share, short, text
from deploy.api.tape import Entry
from deploy.api.titles import Titles
from schemas.recommendations import Recommendation, RecommendedItem

ROWS = 10


def panel(change: Change, cause: Entry | None, titles: Titles, *, acts: bool) -> str:
    """Cause, both lists with curves between them, and the legend.

    Parameters
    ----------
    cause
        The event that the newer list names as its trigger, while it is remembered.
    acts
        Whether the rows have buttons to open and buy.
    """
    after = change.after.items[:ROWS]
    low, high = extent(after)
    rows = "".join(
        _row(change, item, titles, stacked_bar(item.parts, low, high), acts=acts) for item in after
    )
    former = change.before.items[:ROWS] if change.before else ()
    places = {item.item_id: item.position for item in after}
    moves = [(item.position, places[item.item_id]) for item in former if item.item_id in places]
    before = "".join(_before(item, titles, gone=item.item_id not in places) for item in former)
    curves = links(moves, max(len(after), len(former)))
    both = f'<ol class="before" aria-label="The list before">{before}</ol>{curves}' if former else ""
    return (
        f"{caption(change, cause, titles)}"
        f'<div class="change{"" if former else " first"}">{both}'
        f'<ol class="after" aria-label="The list now">{rows}</ol></div>{legend(after)}'
    )


def caption(change: Change, cause: Entry | None, titles: Titles) -> str:
    """By which event the list changed, and how fast."""
    new = change.after
    policy = "" if new.policy == new.arm else f", policy {text(new.policy)}"
    facts = (
        f"{text(new.arm)}{policy}, epoch {new.epoch}",
        "" if new.rung == "full" else f"rung {text(new.rung)}",
        f'trigger <code title="{text(new.trigger_id)}">{short(new.trigger_id)}</code>',
        f'decision <code title="{text(new.decision_id)}">{short(new.decision_id)}</code>',
    )
    return (
        f'<p class="cause"><b>{short(new.user_id, 28)}</b> {deed(cause, titles)} '
        f'<span class="fast">list {duration(speed(change, cause))} later</span></p>'
        f'<p class="facts">{" · ".join(filter(None, facts))}</p>'
    )


def deed(cause: Entry | None, titles: Titles) -> str:
    """What the person did, in words."""
    if cause is None:
        return "did something before this page was opened"
    what = f" <b>{text(titles.of(cause.item_id).text)}</b>" if cause.item_id else ""
    return f"{VERBS.get(cause.kind, text(cause.kind))}{what} at {clock(cause.seen)}"


def speed(change: Change, cause: Entry | None) -> float | None:
    """Milliseconds from the event's record to the list's record."""
    return max(0.0, change.stood - cause.seen) if cause else None


def news(change: Change, cause: Entry | None, titles: Titles) -> str:
    """One sentence for screen readers and for the impatient: what moved, by which event, how fast."""
    after = change.after.items[:ROWS]
    if change.before is None:
        return f"Your first list is here, {duration(speed(change, cause))} after it was asked for."
    moves = [change.move_of(item.item_id, item.position) for item in after]
    entered = sum(move is None for move in moves)
    risen = sum(move is not None and move > 0 for move in moves)
    counts = ((entered, "new"), (risen, "risen"))
    what = " and ".join(f"{n} {word}" for n, word in counts if n) or "no other"
    return (
        f"You {deed(cause, titles)}. {duration(speed(change, cause))} later your list had {what} products "
        f'<span class="by">by event <code id="you-trigger">{text(change.after.trigger_id)}</code></span>'
    )


def extent(items: Sequence[RecommendedItem]) -> tuple[float, float]:
    """The common scale of all bars: least sum of negative parts, greatest sum of positive parts."""
    low = min((sum(v for v in item.parts.values() if v < 0) for item in items), default=0.0)
    high = max((sum(v for v in item.parts.values() if v > 0) for item in items), default=1.0)
    return low, high


def legend(items: Sequence[RecommendedItem]) -> str:
    """Which colour is which part, of the parts that matter here."""
    names = {name for item in items for name, value in item.parts.items() if value}
    keys = "".join(
        f'<li><i class="p{colour(name)}"></i>{text(name)}</li>' for name in sorted(names, key=colour)
    )
    return f'<ul class="legend" aria-label="Parts of the score">{keys}</ul>'


def _before(item: RecommendedItem, titles: Titles, *, gone: bool) -> str:
    title = titles.of(item.item_id).text
    return f'<li class="{"gone" if gone else ""}"><span class="name">{text(title)}</span></li>'


def _row(change: Change, item: RecommendedItem, titles: Titles, bar: str, *, acts: bool) -> str:
    title = titles.of(item.item_id)
    why = ", ".join(text(titles.of(b.item_id).text) for b in item.because[:2])
    because = f"because of {why}" if why else text(title.category)
    marks = "".join(
        f'<span class="mark">{name}</span>' for name in ("explored", "pinned") if getattr(item, name)
    )
    return (
        f'<li data-row="{text(item.item_id)}" data-item="{text(item.item_id)}">'
        f'<span class="place">{item.position + 1}</span>'
        f'<span class="name" title="{text(title.text)}">{text(title.text)}</span>{_move(change, item)}'
        f'<span class="why">{marks}{because}</span>{bar}'
        f'<span class="score">{item.score:.2f}</span>'
        f'<span class="prob" title="propensity {item.propensity!r}">{share(item.propensity)}</span>'
        f"{_buttons(change.after, item, title.text) if acts else ''}</li>"
    )


def _move(change: Change, item: RecommendedItem) -> str:
    if change.before is None:
        return '<span class="move"></span>'
    move = change.move_of(item.item_id, item.position)
    if move is None:
        return '<span class="move new">new</span>'
    if move == 0:
        return '<span class="move same" aria-label="stayed">·</span>'
    kind, sign, word = ("up", "▲", "rose") if move > 0 else ("down", "▼", "fell")
    return f'<span class="move {kind}" aria-label="{word} {abs(move)}">{sign}{abs(move)}</span>'


def _buttons(shown: Recommendation, item: RecommendedItem, title: str) -> str:
    hidden = {"item_id": item.item_id, "decision_id": shown.decision_id, "position": str(item.position)}
    return act_form(hidden, title)


def act_form(hidden: dict[str, str], title: str) -> str:
    """Buttons with which a visitor opens or buys an item."""
    fields = "".join(f'<input type="hidden" name="{k}" value="{text(v)}"/>' for k, v in hidden.items())
    key = text(hidden["item_id"])
    buttons = "".join(
        f'<button name="kind" value="{kind}" data-key="{kind} {key}" aria-label="{word} {text(title)}">'
        f"{word}</button>"
        for kind, word in (("click", "Open"), ("purchase", "Buy"))
    )
    return f'<form class="acts" method="post" action="/act">{fields}{buttons}</form>'
