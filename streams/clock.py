"""The time that a worker goes by: the broker's, carried forward by this machine's monotonic clock.

A wall clock jumps when it is set, and is wrong on some machine of a fleet.  Lists, ticks and the age of what
waits would follow it.  So the wall clock is read once; from then on time passes by the monotonic clock, and
what the broker says of records that it took (topics with ``LogAppendTime``) moves it where it belongs.
"""

from collections.abc import Callable
from time import monotonic_ns

TOLERANCE_MS = 5_000
"""An acknowledgement may be read late by so much; only what is further ahead of the broker is put back."""


class BrokerClock:
    """Milliseconds since the epoch.

    Parameters
    ----------
    wall
        Read once, for the time until the broker is heard.
    monotonic
        Nanoseconds that never fall.

    Examples
    --------
    >>> now = 0
    >>> clock = BrokerClock(wall=lambda: 3_600_000, monotonic=lambda: now)
    >>> clock()
    3600000
    >>> clock.heard(10_000); now += 7_000_000
    >>> clock()
    10007
    """

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int] = monotonic_ns) -> None:
        self._monotonic = monotonic
        self._ahead = wall() - self._passed()

    def __call__(self) -> int:
        """The time now."""
        return self._passed() + self._ahead

    def heard(self, broker_ms: int) -> None:
        """The broker's clock stood at ``broker_ms`` a moment ago, or longer ago: never later than now."""
        off = self() - broker_ms
        if off < 0 or off > TOLERANCE_MS:
            self._ahead -= off

    def _passed(self) -> int:
        return self._monotonic() // 1_000_000
