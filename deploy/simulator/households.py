"""The households: when they really went shopping, what for, and what they would buy next.

Their year is a ring: after its last second the first one comes again, so a demo may run for ever.
A household may be cloned to get more traffic; clone ``c`` of ``n`` lives the same year shifted by
``c / n`` of it (in whole weeks, which keeps its weekdays).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploy.datasets.complete_journey import CompleteJourney
from deploy.simulator.click_law import Int8, Relevance
from schemas.errors import InvalidMessageError

DAY = 86_400
WEEK = 7 * DAY
YEAR = 53 * WEEK
"""Seconds of the ring: whole weeks, a little longer than the data's 366 days."""

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trip:
    """One visit to the shop.

    Parameters
    ----------
    seconds
        Simulated seconds since the beginning of the first year.
    household, clone
        Who.
    lines
        Rows of the journey's columns: what was bought.
    """

    seconds: int
    household: int
    clone: int
    lines: Int32


class Households:
    """Everything about the households that the simulator asks.

    Parameters
    ----------
    journey
        The data.
    assortment
        Products of the shop; trips carry only these.
    clones
        Lives per household, at least 1.
    horizon_days
        How far "the following weeks" reach.
    """

    def __init__(
        self, journey: CompleteJourney, assortment: Int32, *, clones: int = 1, horizon_days: int = 42
    ) -> None:
        if clones < 1:
            raise InvalidMessageError("clones", clones, "give at least 1")
        if not 1 <= horizon_days <= 364:
            raise InvalidMessageError("horizon_days", horizon_days, "give 1 to 364 days")
        self.journey = journey
        self.clones = clones
        self.horizon = horizon_days * DAY
        self._place = {journey.products[p]: int(p) for p in range(len(journey.products))}
        self._times = (journey.seconds - journey.seconds[0]).astype(np.int64)
        self._bought, self._starts = self._by_household()
        stocked = np.zeros(len(journey.products), bool)
        stocked[assortment] = True
        self._sold = np.flatnonzero(stocked[journey.product] & (journey.quantity > 0)).astype(np.int32)
        self._trips = self._one_year()

    def user_id(self, household: int, clone: int) -> str:
        """The person's id.

        Examples
        --------
        >>> from deploy.datasets.complete_journey import load
        >>> Households(load(), np.arange(10)).user_id(0, 0)
        'h1'
        """
        name = f"h{self.journey.households[household]}"
        return f"{name}-{clone}" if clone else name

    def trips(self, start: int) -> Iterator[Trip]:
        """Visits from a simulated second on, in the order of time, without end."""
        cycle, within = divmod(start, YEAR)
        first = int(np.searchsorted([t.seconds for t in self._trips], within))
        while True:
            for trip in self._trips[first:]:
                yield Trip(trip.seconds + cycle * YEAR, trip.household, trip.clone, trip.lines)
            cycle, first = cycle + 1, 0

    def relevance(self, household: int, clone: int, seconds: int, item_ids: list[str]) -> Int8:
        """How each item relates to what the household bought within the horizon after ``seconds``.

        Items that the journey does not know are ``Relevance.NONE``.

        Returns
        -------
        Int8
            ``Relevance`` values, shape (len(item_ids),).
        """
        own = (seconds - self._shift(clone)) % YEAR
        rows = self._bought[self._starts[household] : self._starts[household + 1]]
        coming = rows[(self._times[rows] - own) % YEAR < self.horizon]
        products = set(self.journey.product[coming].tolist())
        kinds = set(self.journey.product_type[self.journey.product[coming]].tolist()) - {-1}
        return np.array([self._relate(item, products, kinds) for item in item_ids], np.int8)

    def _relate(self, item: str, products: set[int], kinds: set[int]) -> Relevance:
        place = self._place.get(item)
        if place is None:
            return Relevance.NONE
        if place in products:
            return Relevance.PRODUCT
        return Relevance.TYPE if int(self.journey.product_type[place]) in kinds else Relevance.NONE

    def _shift(self, clone: int) -> int:
        return YEAR * clone // self.clones // WEEK * WEEK

    def _by_household(self) -> tuple[Int32, Int64]:
        """Real lines sorted by household, then time, and where each household begins."""
        real = np.flatnonzero(self.journey.quantity > 0)
        order = real[np.argsort(self.journey.household[real], kind="stable")]
        starts = np.searchsorted(self.journey.household[order], np.arange(len(self.journey.households) + 1))
        return order.astype(np.int32), starts.astype(np.int64)

    def _one_year(self) -> list[Trip]:
        """All visits of all clones within one ring, sorted by time: lines of one household and second."""
        household, times = self.journey.household[self._sold], self._times[self._sold]
        order = np.lexsort((times, household))
        new = (np.diff(household[order], prepend=-1) != 0) | (np.diff(times[order], prepend=-1) != 0)
        baskets = np.split(self._sold[order], np.flatnonzero(new)[1:])
        visits = [
            Trip(int(self._times[b[0]] + self._shift(c)) % YEAR, int(self.journey.household[b[0]]), c, b)
            for c in range(self.clones)
            for b in baskets
        ]
        return sorted(visits, key=lambda t: (t.seconds, t.household, t.clone))
