"""Make the shipped file of The Complete Journey from its CSV files.

::

    python -m deploy.datasets.build_complete_journey FOLDER

FOLDER holds ``transactions.csv.gz`` and ``products.csv.gz`` of bradleyboehmke/completejourney.
"""

import csv
import gzip
import sys
from pathlib import Path

import numpy as np

from deploy.datasets.complete_journey import FILE, TEXTS, Float64, Header, Int32, pack

Row = dict[str, str]
SOURCE_NAMES = {
    "department": "department",
    "category": "product_category",
    "type": "product_type",
    "brand": "brand",
    "size": "package_size",
}


def rows(path: Path) -> list[Row]:
    """The lines of a gzipped CSV file."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def build(folder: Path) -> bytes:
    """The file's bytes."""
    lines = sorted(rows(folder / "transactions.csv.gz"), key=lambda r: float(r["transaction_timestamp"]))
    known = {row["product_id"]: row for row in rows(folder / "products.csv.gz")}
    households = _distinct([r["household_id"] for r in lines])
    products = _distinct([r["product_id"] for r in lines])
    columns = {
        "household": _codes([r["household_id"] for r in lines], households),
        "product": _codes([r["product_id"] for r in lines], products),
        "seconds": np.array([round(float(r["transaction_timestamp"])) for r in lines]),
        "quantity": np.array([round(float(r["quantity"])) for r in lines]),
        "cents": np.array([round(100 * float(r["sales_value"])) for r in lines]),
    }
    texts: dict[str, list[str]] = {}
    for name in TEXTS:
        values = [_text(known.get(p, {}), SOURCE_NAMES[name]) for p in products]
        texts[name] = _distinct(values)
        columns[name] = _codes(values, texts[name])
    columns["price_cents"] = _median_price(columns, len(products))
    return pack(
        Header(households, products, texts, {"lines": len(lines), "products": len(products)}), columns
    )


def _distinct(values: list[str]) -> list[str]:
    """Numbers in the order of their value, then texts in the order of the alphabet."""
    return sorted(set(values), key=lambda v: (not v.isdigit(), int(v) if v.isdigit() else 0, v))


def _codes(values: list[str], distinct: list[str]) -> Int32:
    index = {value: code for code, value in enumerate(distinct)}
    return np.array([index[value] for value in values], np.int32)


def _text(row: Row, name: str) -> str:
    value = row.get(name, "").strip()
    return "" if value == "NA" else value


def _median_price(columns: dict[str, Int32], products: int) -> Float64:
    """Cents per unit; 0 where nothing was ever sold."""
    sold = (columns["quantity"] > 0) & (columns["cents"] > 0)
    unit = columns["cents"][sold] / columns["quantity"][sold]
    order = np.lexsort((unit, columns["product"][sold]))
    bounds = np.searchsorted(columns["product"][sold][order], np.arange(products + 1))
    middle = (bounds[:-1] + bounds[1:] - 1) // 2
    has = bounds[1:] > bounds[:-1]
    return np.where(has, np.round(unit[order][np.where(has, middle, 0)]), 0)


if __name__ == "__main__":
    target = Path(__file__).with_name(FILE)
    target.write_bytes(build(Path(sys.argv[1])))
    print(f"{target}: {target.stat().st_size:,} bytes")
