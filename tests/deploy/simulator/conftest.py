"""A tiny year of purchases that can be checked by hand."""

import numpy as np
import pytest

from deploy.datasets.complete_journey import CompleteJourney, load
from deploy.simulator.households import DAY, Households

TEXTS = ("department", "category", "type", "brand", "size")
LINES = [  # day, household, product
    (0, 0, 0),
    (0, 1, 3),
    (10, 0, 1),
    (30, 0, 2),
    (100, 1, 0),
]


@pytest.fixture(scope="session")
def tiny() -> CompleteJourney:
    """Two households, four products: 0 and 1 are tea, 2 and 3 are soap."""
    days, household, product = (np.array(column) for column in zip(*LINES, strict=True))
    return CompleteJourney(
        households=("1", "2"),
        products=("p0", "p1", "p2", "p3"),
        household=household.astype(np.int32),
        product=product.astype(np.int32),
        seconds=1_483_228_800 + days * DAY,
        quantity=np.ones(len(LINES)),
        value=np.full(len(LINES), 2.0),
        texts=dict.fromkeys(TEXTS, ("TEA", "SOAP")),
        codes={
            n: np.array([0, 0, 1, 1], np.int32) for n in ("department", "category", "type", "brand", "size")
        },
        price=np.ones(4),
    )


@pytest.fixture
def households(tiny: CompleteJourney) -> Households:
    return Households(tiny, np.arange(4, dtype=np.int32), horizon_days=21)


@pytest.fixture(scope="session")
def real_households() -> Households:
    journey = load()
    return Households(journey, journey.assortment(500))
