"""A heartbeat: a record without a value that goes through every stage, known by its header.

On ``requests`` it is written by the owner of an ``events`` partition; intake turns it into a ``Tick`` with
the origin's time, which the user agent carries into the header of a signals block; on ``recommendations``
it is a record without a value again.  Folds learn nothing from it.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

HEADER = "streamwise.heartbeat"
KEY = HEADER.encode()
"""Nobody's id: keys of people are looked up, and this one never is."""


class Heartbeat(NamedTuple):
    """One beat.

    Attributes
    ----------
    partition
        The ``events`` partition that it goes through.
    ts
        When it set out, ms since the epoch.
    """

    partition: int
    ts: int

    def headers(self) -> list[tuple[str, bytes]]:
        """As Kafka headers.

        Examples
        --------
        >>> Heartbeat(3, 1_700_000_000_000).headers()
        [('streamwise.heartbeat', b'3/1700000000000')]
        """
        return [(HEADER, b"%d/%d" % self)]

    @classmethod
    def of(cls, headers: Iterable[tuple[str, bytes]]) -> Self | None:
        """The beat that headers name, if any; a header that is none of ours is passed over.

        Examples
        --------
        >>> Heartbeat.of([("ce_id", b"7"), ("streamwise.heartbeat", b"3/17")])
        Heartbeat(partition=3, ts=17)
        >>> Heartbeat.of([("streamwise.heartbeat", b"soon")]) is None
        True
        """
        for name, value in headers:
            partition, slash, ts = value.partition(b"/") if name == HEADER else (b"", b"", b"")
            if slash and partition.isdigit() and ts.isdigit() and len(value) < 40:
                return cls(int(partition), int(ts))
        return None
