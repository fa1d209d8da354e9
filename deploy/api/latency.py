"""Event to list: how long after its trigger a list stood in ``recommendations``."""

from bisect import bisect_left
from collections import OrderedDict, deque

EDGES_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Upper edges of the histogram's bins; one more bin is open above."""

WINDOW = 5_000
RECENT_MS = 60_000
REMEMBERED = 20_000


class Latencies:
    """Joins triggers and lists by their record times, whichever is read first.

    Both times are the ones that the broker keeps with the records, so what is measured does not
    depend on when this process reads them.  The last minute before the newest list counts, and at most
    ``window`` lists.

    Examples
    --------
    >>> latencies = Latencies()
    >>> latencies.on_trigger("click-1", 1_000)
    >>> latencies.on_list("click-1", 1_040)
    40
    >>> latencies.quantile(0.5)
    40.0
    """

    def __init__(self, window: int = WINDOW, remembered: int = REMEMBERED) -> None:
        self._begun: OrderedDict[str, int] = OrderedDict()
        self._ahead: OrderedDict[str, int] = OrderedDict()
        self._recent: deque[tuple[int, int]] = deque(maxlen=window)
        self._remembered = remembered

    def __len__(self) -> int:
        return len(self._recent)

    def on_trigger(self, trigger: str, ts: int) -> int | None:
        """An event stands in ``events`` since ``ts`` (ms); the latency if its list was read before it."""
        answered = self._ahead.pop(trigger, None)
        if answered is not None:
            return self._measure(ts, answered)
        _remember(self._begun, trigger, ts, self._remembered)
        return None

    def on_list(self, trigger: str, ts: int) -> int | None:
        """A list for ``trigger`` stands since ``ts`` (ms); the latency if the trigger is known."""
        begun = self._begun.pop(trigger, None)
        if begun is not None:
            return self._measure(begun, ts)
        _remember(self._ahead, trigger, ts, self._remembered)
        return None

    def quantile(self, q: float) -> float | None:
        """Of the last minute's lists, in ms; None before the first."""
        ordered = sorted(value for _, value in self._recent)
        return float(ordered[min(len(ordered) - 1, int(q * len(ordered)))]) if ordered else None

    def histogram(self) -> list[int]:
        """Counts per bin of ``EDGES_MS``, the open one last."""
        counts = [0] * (len(EDGES_MS) + 1)
        for _, value in self._recent:
            counts[bisect_left(EDGES_MS, value)] += 1
        return counts

    def _measure(self, begun: int, answered: int) -> int:
        # Two producers' clocks may differ by a little: a list is never earlier than its trigger.
        latency = max(0, answered - begun)
        self._recent.append((answered, latency))
        while self._recent[0][0] < answered - RECENT_MS:
            self._recent.popleft()
        return latency


def _remember(kept: OrderedDict[str, int], key: str, value: int, limit: int) -> None:
    kept[key] = value
    if len(kept) > limit:
        kept.popitem(last=False)
