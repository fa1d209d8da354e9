"""What a run of the simulator says: one live line while it runs, one object at its end."""

import msgspec

from deploy.simulator.ledger import Ledger, Rates


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run.

    Parameters
    ----------
    seconds
        How long the shop was open.
    first_list_seconds
        From the start of the program to the first list; None if none came.
    events
        Events that were sent, without the imported past.
    lists
        Lists that were published.
    p50_ms, p99_ms
        From the sending of an event to the arrival of the list that it triggered.
    dead_letters
        Records that could not be read.
    rungs
        Lists by rung of the degradation ladder, of those that answer the events: without the imported past.
    checks
        Reports of the auditor; ``verdicts`` are the latest ones by metric.
    ended
        Roles that ended by themselves, and why.
    """

    seconds: float
    first_list_seconds: float | None
    events: int
    lists: int
    sessions: int
    unanswered: int
    p50_ms: float | None
    p99_ms: float | None
    click_rate: Rates
    dead_letters: int
    rungs: dict[str, int]
    checks: int
    verdicts: dict[str, str]
    sent: dict[str, int]
    ended: dict[str, str]


class LiveLine:
    """Turns the ledger into one line, with rates over the time since the former line."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._before = (0.0, 0, 0)

    def text(self, now: float) -> str:
        """The line at a monotonic second."""
        ledger, (then, events, lists) = self._ledger, self._before
        self._before = (now, ledger.events(), ledger.lists)
        span = max(now - then, 1e-9) if then else float("inf")
        p99 = ledger.percentile(99, last=2000)
        return " · ".join(
            (
                f"{(ledger.events() - events) / span:4.0f} events/s",
                f"{(ledger.lists - lists) / span:4.0f} lists/s",
                "event → list p99 " + ("–" if p99 is None else f"{p99:.0f} ms"),
                clicks(ledger.rates()),
                rungs(dict(ledger.rungs)),
            )
        )


def clicks(rates: Rates) -> str:
    """Click rates of both arms, and the lift with its interval.

    Examples
    --------
    >>> clicks(Rates(0.31, 0.25, 0.24, (0.05, 0.46), 0.2))
    'clicks/list 0.310 vs 0.250 holdout, +24 % (+5 … +46)'
    >>> clicks(Rates(0.31, None, None, None, None))
    'clicks/list 0.310 vs – holdout'
    """
    pair = ["–" if rate is None else f"{rate:.3f}" for rate in (rates.treatment, rates.holdout)]
    text = f"clicks/list {pair[0]} vs {pair[1]} holdout"
    if rates.lift is not None and rates.interval is not None:
        low, high = rates.interval
        text += f", {100 * rates.lift:+.0f} % ({100 * low:+.0f} … {100 * high:+.0f})"
    return text


def rungs(counts: dict[str, int]) -> str:
    """The share of the commonest rung.

    Examples
    --------
    >>> rungs({"full": 90, "no-vectors": 10}), rungs({})
    ('rung full 90 %', 'rung –')
    """
    if not counts:
        return "rung –"
    name = max(counts, key=lambda rung: counts[rung])
    return f"rung {name} {100 * counts[name] / sum(counts.values()):.0f} %"
