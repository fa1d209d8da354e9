"""The shipped purchases are small, whole, and exactly what the build makes of the source."""

import gzip
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from deploy.datasets import build_complete_journey
from deploy.datasets.complete_journey import FILE, load, unpack
from schemas.errors import CorruptBlockError

SHIPPED = files("deploy.datasets").joinpath(FILE)

TRANSACTIONS = """household_id,store_id,basket_id,product_id,quantity,sales_value,transaction_timestamp
10,1,5,77,2.0,3.0,1483273900.0
9,1,4,77,1.0,1.0,1483273800.0
9,1,4,78,0.0,0.0,1483273800.0
10,1,5,5,3.0,6.3,1483273900.0
"""
PRODUCTS = """product_id,manufacturer_id,department,brand,product_category,product_type,package_size
77,1,GROCERY,Private,EGGS,EGGS - LARGE,1 DZ
78,1,FUEL,National,COUPON/MISC ITEMS,GASOLINE-REG UNLEADED,NA
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in (("transactions", TRANSACTIONS), ("products", PRODUCTS)):
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def test_a_small_source_is_packed_whole(source: Path) -> None:
    """Ids, order of time, quantities, values, texts and median unit prices survive."""
    journey = unpack(build_complete_journey.build(source))
    assert journey.households == ("9", "10")
    assert journey.products == ("5", "77", "78")
    assert journey.seconds.tolist() == [1483273800, 1483273800, 1483273900, 1483273900]
    assert journey.household.tolist() == [0, 0, 1, 1]
    assert journey.product.tolist() == [1, 2, 1, 0]
    assert journey.quantity.tolist() == [1, 0, 2, 3]
    assert journey.value.tolist() == [1.0, 0.0, 3.0, 6.3]
    assert journey.price.tolist() == [2.1, 1.0, 0.0]  # of an even number of prices, the lower middle
    assert journey.item(1).title == "Eggs - Large, 1 DZ"
    assert journey.item(0).title == "Product 5"
    assert journey.product_type[0] == -1


def test_the_assortment_has_no_fuel_and_nothing_unknown(source: Path) -> None:
    """A shop front shows what it can describe and deliver."""
    assert unpack(build_complete_journey.build(source)).assortment(10).tolist() == [1]


def test_the_shipped_file_is_small_and_whole() -> None:
    """At most 2 MB; every line points at a household and a product; time runs forward."""
    assert len(SHIPPED.read_bytes()) <= 2_000_000
    journey = load()
    assert journey.household.max() == len(journey.households) - 1
    assert journey.product.max() == len(journey.products) - 1
    assert (np.diff(journey.seconds) >= 0).all()
    buyers = journey.assortment(2000)
    assert len(set(buyers.tolist())) == 2000
    assert all(journey.item(int(p)).text() for p in buyers)


@pytest.mark.parametrize("damage", [b"", b"SWCJ", b"no such file"])
def test_a_damaged_file_is_named(damage: bytes) -> None:
    """Cut or foreign bytes give one error of ours."""
    with pytest.raises(CorruptBlockError, match="install it again"):
        unpack(damage)


@pytest.mark.parametrize("at", [10, 1000, 300_000, 600_000])
def test_a_flipped_byte_is_noticed(at: int) -> None:
    """Wherever it lies, the checksum gives it away."""
    data = bytearray(SHIPPED.read_bytes())
    data[at] ^= 0xFF
    with pytest.raises(CorruptBlockError):
        unpack(bytes(data))


@pytest.mark.data
def test_the_shipped_file_is_what_the_build_makes(data: Path) -> None:
    """Built again from the public CSV files, the bytes are the same."""
    assert build_complete_journey.build(data / "completejourney") == SHIPPED.read_bytes()
