"""How many partitions a rate needs: the cost model of ``docs/scale.md`` as code."""

from math import ceil

import msgspec

EVENT_SECONDS = 61e-6
"""CPU of an event from the producer's topic to its signals row, lists off: 55 to 67 µs measured."""
LIST_SECONDS = 400e-6
"""CPU of a list in batches of 64 from 2,000 items; up to 100,000 items it is 700 µs."""
FOLD_SECONDS = 23.5e-6
"""CPU of folding an event past ``engine.gradient_rows_per_second``, on one thread per namespace."""
EVENT_BYTES = 150 + 65 + 90
"""Canonical, as a row, and at the producer's topic."""
LIST_BYTES = 5_000 + 4_700
"""As a decision, and published."""
PERSON_BYTES = 560
BUSY = 0.5
"""Share of a core that is planned for: the rest is for bursts, takeovers and the fold."""
SPREAD = 3
"""Partitions for each process: people are uneven, and a lost process's are shared by all others."""
SMALLEST = 4


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What a rate asks for.

    Parameters
    ----------
    rate
        Events a second, at the peak.
    lists
        Lists a second.
    processes
        Event processes of one core each, half busy.
    partitions
        Of ``events``: a power of two, ``SPREAD`` for each process.
    namespaces
        How many learning logs the rate needs: one is folded by one thread.
    learner_cores
        What folding takes on each host.
    kafka_bytes
        Written a second before replication.
    people_bytes
        Memory of all event processes for the people, if their number was given.
    """

    rate: float
    lists: float
    processes: int
    partitions: int
    namespaces: int
    learner_cores: float
    kafka_bytes: int
    people_bytes: int | None = None


def advise(rate: float, *, lists: float | None = None, workers: int = 0, people: int = 0) -> Advice:
    """Partitions and processes for a rate.

    Parameters
    ----------
    rate
        Events a second, at the peak.
    lists
        Lists a second; None: three for ten events, as pushed lists are gathered.
    workers
        Event processes that shall run at least, whatever the rate needs.
    people
        How many are remembered.

    Examples
    --------
    >>> advise(1_000).partitions, advise(10_000).partitions, advise(10_000).processes
    (4, 16, 4)
    >>> advise(100_000).namespaces
    5
    """
    asked = 0.3 * rate if lists is None else lists
    namespaces = max(1, ceil(rate * FOLD_SECONDS / BUSY))
    cores = rate * EVENT_SECONDS + asked * LIST_SECONDS
    processes = max(1, workers, ceil(cores / BUSY))
    partitions = max(SMALLEST, 1 << ceil(processes * SPREAD - 1).bit_length())
    return Advice(
        rate=rate,
        lists=asked,
        processes=processes,
        partitions=partitions,
        namespaces=namespaces,
        learner_cores=round(rate * FOLD_SECONDS / namespaces, 2),
        kafka_bytes=round(rate * EVENT_BYTES + asked * LIST_BYTES),
        people_bytes=people * PERSON_BYTES if people else None,
    )
