"""The time that a worker goes by: the broker's, carried forward by this machine's monotonic clock.

A wall clock jumps when it is set, and is wrong on some machine of a fleet.  Lists, ticks and the age of what
waits would follow it.  So the wall clock is read once; from then on time passes by the monotonic clock, and
what the broker says of records that it took (topics with ``LogAppendTime``) moves it where it belongs.
"""

from collections.abc import Callable
from time import monotonic_ns


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
    >>> asked = clock.passed()
    >>> clock.heard(10_000, asked); now += 7_000_000
    >>> clock()
    10007
    """

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int] = monotonic_ns) -> None:
        self._monotonic = monotonic
        self._ahead = wall() - self.passed()

    def __call__(self) -> int:
        """The time now."""
        return self.passed() + self._ahead

    def passed(self) -> int:
        """Milliseconds by the monotonic clock: when something is sent that the broker will date."""
        return self._monotonic() // 1_000_000

    def heard(self, broker_ms: int, asked: int) -> None:
        """The broker dated a record; it took it after it was sent, and before this.

        Only what lies outside of these two moments is put right: an acknowledgement may come, or be read,
        many seconds late.

        Parameters
        ----------
        broker_ms
            The broker's clock when it took the record.
        asked
            ``passed()`` when the record was sent.
        """
        behind = broker_ms - self()
        early = asked + self._ahead - broker_ms
        self._ahead += max(0, behind) - max(0, early)
