"""How long events wait in a deployment of a plan's size: a simulation of what ``docs/scale.md`` computes.

Arrivals are Poisson, people as uneven as Zipf's law makes them, and each is in one partition for ever.  Work
waits in one queue a process (and one for the learner): Lindley's recursion in steps of ten milliseconds,
through a burst.
"""

from math import ceil
from typing import NamedTuple

import numpy as np

from deploy.sizing import EVENT_SECONDS, FOLD_SECONDS, LIST_SECONDS, Advice
from schemas.signals import Float64, Int64

STEP_SECONDS = 0.01
STEPS, BURST_STEPS, BURST = 6_000, 1_000, 2.0
"""A minute, in ten seconds of which so many times as much comes."""
SESSION_SECONDS = 10.0
"""Until others take over the partitions of a process that is gone."""
PEOPLE_PER_EVENT = 50
"""People for each event a second, as in the table."""
EXPONENT = 0.6
"""Of the n-th busiest person's share: of 50,000 people the busiest sends one event in two hundred."""


class Waits(NamedTuple):
    """What a simulated minute shows.

    Attributes
    ----------
    busiest
        Utilisation of the busiest process.
    mean
        Of all.
    burst_seconds
        How long an event waits at most for the busiest process.
    learner_burst_seconds
        How long a row waits at most for its learner.
    """

    busiest: float
    mean: float
    burst_seconds: float
    learner_burst_seconds: float


def simulate(plan: Advice, *, lost: int = 0, seed: int = 0) -> Waits:
    """A minute of one namespace of a plan.

    Parameters
    ----------
    lost
        Processes that are gone; their partitions are spread over the others.

    Raises
    ------
    ValueError
        Nobody is left.

    Examples
    --------
    >>> from deploy.sizing import advise
    >>> waits = simulate(advise(10_000))
    >>> waits.mean < 0.5, waits.busiest < 0.7, waits.learner_burst_seconds < 0.1
    (True, True, True)
    """
    processes = _processes(plan) - lost
    if processes <= 0:
        raise ValueError(f"lost: {lost}: at most {processes + lost - 1}: somebody must be left")
    random, rate = np.random.default_rng(seed), plan.rate / plan.namespaces
    partitions = max(processes + lost, plan.partitions // plan.namespaces)
    share = shares(round(PEOPLE_PER_EVENT * rate), partitions, random)
    owned = np.bincount(np.arange(partitions) % processes, share, processes)
    cost = EVENT_SECONDS + LIST_SECONDS * plan.lists / plan.rate
    busy = owned * rate * cost
    return Waits(
        float(busy.max()),
        float(busy.mean()),
        longest_wait(rate * float(owned.max()), cost, random),
        longest_wait(rate, FOLD_SECONDS, random),
    )


def takeover_seconds(plan: Advice, seed: int = 0) -> float:
    """From the loss of a process until those who took its partitions over have worked off what waited."""
    before, after = simulate(plan, seed=seed), simulate(plan, lost=1, seed=seed)
    waiting = before.busiest * SESSION_SECONDS / (_processes(plan) - 1)
    return SESSION_SECONDS + waiting / (1.0 - after.busiest)


def _processes(plan: Advice) -> int:
    """Of one namespace."""
    return ceil(plan.processes / plan.namespaces)


def shares(people: int, partitions: int, random: np.random.Generator) -> Float64:
    """Each partition's share of the events."""
    weight = np.arange(1, people + 1) ** -EXPONENT
    where: Int64 = random.integers(0, partitions, people)
    share: Float64 = np.bincount(where, weight, partitions) / weight.sum()
    return share


def longest_wait(rate: float, cost: float, random: np.random.Generator) -> float:
    """The most work that waits in a minute with a burst, seconds."""
    expected = np.full(STEPS, rate * STEP_SECONDS)
    expected[:BURST_STEPS] *= BURST
    walk = np.concatenate([[0.0], np.cumsum(random.poisson(expected) * cost - STEP_SECONDS)])
    return float((walk - np.minimum.accumulate(walk)).max())
