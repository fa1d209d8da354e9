"""Values as people read them, safe to put into HTML."""

import time
from html import escape

VERBS = {
    "click": "opened",
    "purchase": "bought",
    "impression": "saw",
    "request": "asked for a list",
    "like": "liked",
    "dislike": "disliked",
    "hide": "hid",
    "cart": "put in the cart",
    "rating": "rated",
    "play": "played",
}

RUNG_WORDS = {
    "full": "everything answers",
    "no-vectors": "without content vectors",
    "last-good": "the last good list",
    "segment-popular": "popular in the segment",
    "global-popular": "popular everywhere",
    "nothing": "no item to list",
}

VERDICT_WORDS = {
    "running": "still measuring",
    "win": "better than the holdout",
    "non-inferior": "not worse than the holdout",
    "rollback": "worse: rolled back",
    "freeze": "frozen: the split is broken",
    "insufficient": "too few events to say",
}


def text(value: object) -> str:
    """Escaped for HTML, quotes included.

    Examples
    --------
    >>> text('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return escape(str(value))


def duration(ms: float | None) -> str:
    """Milliseconds below a second, seconds above.

    Examples
    --------
    >>> duration(41.4), duration(1234), duration(None)
    ('41 ms', '1.2 s', '–')
    """
    if ms is None:
        return "–"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def share(value: float) -> str:
    """A probability in per cent, with enough digits to see small ones.

    Examples
    --------
    >>> share(1.0), share(0.1234), share(0.00042)
    ('100 %', '12.3 %', '0.042 %')
    """
    percent = 100 * value
    return "100 %" if value == 1 else f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %"


def rate(value: float) -> str:
    """Per second.

    Examples
    --------
    >>> rate(0.25), rate(37.2), rate(41234.0)
    ('0.3', '37', '41,234')
    """
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def clock(ms: int) -> str:
    """Time of day, UTC.

    Examples
    --------
    >>> clock(1_700_000_000_123)
    '22:13:20.123'
    """
    return time.strftime("%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}"


def signed_share(value: float) -> str:
    """A relative difference.

    Examples
    --------
    >>> signed_share(0.123), signed_share(-0.05)
    ('+12.3 %', '−5.0 %')
    """
    return f"{'+' if value >= 0 else '−'}{100 * abs(value):.1f} %"


def short(identifier: str, limit: int = 18) -> str:
    """An id that fits a line, escaped.

    Examples
    --------
    >>> short("0123456789abcdef0123456789")
    '012345678…23456789'
    """
    half = limit // 2
    return text(identifier if len(identifier) <= limit else f"{identifier[:half]}…{identifier[1 - half :]}")
