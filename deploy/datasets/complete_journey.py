"""The Complete Journey: a year of real grocery purchases of 2,377 households (CC0).

Source: 84.51°, "The Complete Journey", in the packaging of github.com/bradleyboehmke/completejourney,
a sample of 75,000 purchase lines of 2017.  ``build_complete_journey.py`` makes the shipped file from
the CSV files; this module reads it.

The file is a magic, a CRC-32, and zstd over: 4 bytes length of a msgpack header, the header (ids and
texts), the columns back to back.  The times are stored as differences, which compress better.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any
from zlib import crc32

import cramjam
import msgspec
import numpy as np
import numpy.typing as npt

from schemas.catalogue import Item
from schemas.errors import CorruptBlockError

MAGIC = b"SWCJ"
FILE = "complete_journey.bin.zst"
COLUMNS: dict[str, str] = {
    "household": "<u2",
    "product": "<u2",
    "seconds": "<u4",
    "quantity": "<u4",
    "cents": "<u4",
    "department": "<u2",
    "category": "<u2",
    "type": "<u2",
    "brand": "<u2",
    "size": "<u2",
    "price_cents": "<u4",
}
LINES = ("household", "product", "seconds", "quantity", "cents")
TEXTS = ("department", "category", "type", "brand", "size")

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


class Header(msgspec.Struct, array_like=True):
    """What stands before the columns: ids and the dictionaries of texts."""

    households: list[str]
    products: list[str]
    texts: dict[str, list[str]]
    lengths: dict[str, int]


@dataclass(frozen=True)
class CompleteJourney:
    """Purchase lines in the order of time, and the products.

    Attributes
    ----------
    households, products
        Ids; the integer columns index into them.
    household, product
        Who bought what, shape (n,).
    seconds
        When, unix seconds, UTC, ascending.
    quantity, value
        Units, and dollars for the whole line.
    texts
        For each of department, category, type, brand, size: its distinct texts.
    codes
        For each of them, per product, the index into ``texts``.
    price
        Median dollars per unit of each product.

    Examples
    --------
    >>> journey = load()
    >>> len(journey.household), len(journey.households), len(journey.products)
    (75000, 2377, 20902)
    >>> journey.item(journey.products.index("28897")).title
    'Eggs - X-Large, A D 1 DZ'
    """

    households: tuple[str, ...]
    products: tuple[str, ...]
    household: Int32
    product: Int32
    seconds: Int64
    quantity: Float64
    value: Float64
    texts: dict[str, tuple[str, ...]]
    codes: dict[str, Int32]
    price: Float64

    @cached_property
    def product_type(self) -> Int32:
        """Type of each product, -1 where the source does not know the product; shape (products,)."""
        types = self.codes["type"]
        unknown = np.array([not text for text in self.texts["type"]])
        return np.where(unknown[types], -1, types).astype(np.int32)

    def text(self, name: str, product: int) -> str:
        """One text of a product, as the source spells it; empty if unknown."""
        return self.texts[name][int(self.codes[name][product])]

    def item(self, product: int) -> Item:
        """A product as an upsert of the ``items`` topic."""
        kind, size = self.text("type", product), " ".join(self.text("size", product).split())
        names = ", ".join(part for part in (kind.title(), size) if part)
        levels = dict.fromkeys(self.text(n, product).title() for n in ("department", "category", "type"))
        brand = self.text("brand", product)
        return Item(
            item_id=self.products[product],
            title=names or f"Product {self.products[product]}",
            categories=tuple(level for level in levels if level),
            tags=(f"{brand.lower()} brand",) if brand else (),
            price=float(self.price[product]) or None,
        )

    def assortment(self, size: int) -> Int32:
        """The products that most households bought, best first; ties by place in the file.

        Fuel, and products that the source does not describe, are not what a shop front shows.

        Parameters
        ----------
        size
            At most so many; lines of quantity 0 (returns, coupons) do not count.
        """
        fuel = np.array([text == "FUEL" for text in self.texts["department"]])[self.codes["department"]]
        shown = ~fuel & (self.product_type >= 0)
        real = (self.quantity > 0) & shown[self.product]
        pairs = np.unique(self.product[real].astype(np.int64) << 32 | self.household[real])
        buyers = np.bincount((pairs >> 32).astype(np.int64), minlength=len(self.products))
        order = np.argsort(-buyers, kind="stable")[:size]
        return order[buyers[order] > 0].astype(np.int32)


def load() -> CompleteJourney:
    """Read the shipped file (about 50 ms)."""
    return unpack(files("deploy.datasets").joinpath(FILE).read_bytes())


def pack(header: Header, columns: dict[str, npt.NDArray[Any]]) -> bytes:
    """The file's bytes; the same input gives the same bytes."""
    head = msgspec.msgpack.encode(header)
    stored = {**columns, "seconds": np.diff(columns["seconds"], prepend=0)}
    body = b"".join(np.ascontiguousarray(stored[n], d).tobytes() for n, d in COLUMNS.items())
    packed = bytes(cramjam.zstd.compress(len(head).to_bytes(4, "little") + head + body, level=19))
    return MAGIC + crc32(packed).to_bytes(4, "little") + packed


def unpack(data: bytes) -> CompleteJourney:
    """What ``pack`` wrote.

    Raises
    ------
    CorruptBlockError
        If the bytes are not such a file.
    """
    if data[:4] != MAGIC:
        raise CorruptBlockError("magic", data[:4], f"the data file begins with {MAGIC!r}: install it again")
    if crc32(data[8:]).to_bytes(4, "little") != data[4:8]:
        raise CorruptBlockError("checksum", data[4:8], "the data file is damaged: install it again")
    try:
        body = bytes(cramjam.zstd.decompress(data[8:]))
        start = 4 + int.from_bytes(body[:4], "little")
        header = msgspec.msgpack.decode(body[4:start], type=Header)
        columns = _columns(header, memoryview(body)[start:])
    except (cramjam.DecompressionError, msgspec.DecodeError, ValueError) as error:
        raise CorruptBlockError("body", str(error), "the data file is damaged: install it again") from error
    return CompleteJourney(
        households=tuple(header.households),
        products=tuple(header.products),
        household=columns["household"].astype(np.int32),
        product=columns["product"].astype(np.int32),
        seconds=np.cumsum(columns["seconds"], dtype=np.int64),
        quantity=columns["quantity"].astype(np.float64),
        value=columns["cents"] / 100.0,
        texts={name: tuple(header.texts[name]) for name in TEXTS},
        codes={name: columns[name].astype(np.int32) for name in TEXTS},
        price=columns["price_cents"] / 100.0,
    )


def _columns(header: Header, payload: memoryview) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for name, code in COLUMNS.items():
        size = header.lengths["lines" if name in LINES else "products"] * np.dtype(code).itemsize
        found[name] = np.frombuffer(payload[at : at + size], code)
        at += size
    return found
