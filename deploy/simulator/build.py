"""A shop from a few numbers."""

import time
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from deploy.datasets.complete_journey import load
from deploy.simulator.click_law import ClickLaw
from deploy.simulator.households import DAY, WEEK, Households
from deploy.simulator.ledger import Ledger
from deploy.simulator.shop import Pace, Shop
from schemas.catalogue import Item


class ShopOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of the simulator may vary.

    Parameters
    ----------
    items
        Size of the assortment.
    clones
        Lives per household: traffic grows in proportion.
    day_seconds
        Real seconds that a simulated day takes: traffic shrinks in proportion.
    history_weeks
        Weeks of real purchases that are imported before the shop opens.
    treatment_factor
        An effect injected into treatment clicks (``ClickLaw``).
    """

    items: Annotated[int, Meta(ge=1)] = 2000
    clones: Annotated[int, Meta(ge=1)] = 1
    day_seconds: Annotated[float, Meta(gt=0)] = 10.0
    history_weeks: Annotated[int, Meta(ge=0, le=53)] = 26
    treatment_factor: float = 1.0
    seed: Annotated[int, Meta(ge=0)] = 0


class Stocked(msgspec.Struct, frozen=True):
    """A shop, and what it sells.

    Parameters
    ----------
    since
        Simulated second at which the imported past begins.
    """

    shop: Shop
    products: tuple[int, ...]
    since: int

    def items(self) -> Iterator[Item]:
        """The assortment as catalogue messages, best sellers first."""
        for product in self.products:
            yield self.shop.households.journey.item(product)


def build(options: ShopOptions) -> Stocked:
    """The shop that the options describe, opening after its history."""
    journey = load()
    assortment = journey.assortment(options.items)
    households = Households(journey, assortment, clones=options.clones)
    opening = options.history_weeks * WEEK + DAY
    pace = Pace(
        wall=time.monotonic(),
        epoch_ms=time.time_ns() // 1_000_000,
        start=opening,
        day_seconds=options.day_seconds,
    )
    law = ClickLaw(treatment_factor=options.treatment_factor)
    shop = Shop(households, law, pace, Ledger(), seed=options.seed)
    return Stocked(shop, tuple(assortment.tolist()), 0 if options.history_weeks else opening)
