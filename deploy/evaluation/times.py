"""Timestamps of a log: numbers of some unit since 1970, or ISO 8601."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np

from schemas.errors import InvalidMessageError

UNITS: Final = ("auto", "s", "ms", "us", "iso")
PER_SECOND: Final = {"s": 1.0, "ms": 1e3, "us": 1e6}
END: Final = 2.5e11
"""Seconds; the year 9999 and a little."""
SPOKEN: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "iso": "ISO 8601"}


def seconds(values: Sequence[Any], places: Sequence[str], unit: str = "auto") -> tuple[list[float], str]:
    """Times in seconds since 1970, and the unit that the values were taken for.

    Parameters
    ----------
    values, places
        As they stand in the table, and where, for messages.
    unit
        ``"auto"``: text that is no number is ISO 8601 (without a zone: UTC); numbers are seconds,
        milliseconds or microseconds by the size of the median, and all of them must be of that size.

    Raises
    ------
    InvalidMessageError
        Names the place, the value and the remedy.

    Examples
    --------
    >>> seconds(["1500000000", "1500000001.5"], ["1", "2"])
    ([1500000000.0, 1500000001.5], 's')
    >>> seconds([1500000000123], ["1"]), seconds(["2017-07-14T02:40:00Z"], ["1"])
    (([1500000000.123], 'ms'), ([1500000000.0], 'iso'))
    """
    iso = unit == "iso" or (unit == "auto" and bool(values) and _number(values[0]) is None)
    if iso:
        found, unit = [_iso(v, p) for v, p in zip(values, places, strict=True)], "iso"
    else:
        numbers = [_finite(v, p, unit) for v, p in zip(values, places, strict=True)]
        unit = _one_unit(numbers, values, places) if unit == "auto" else unit
        found = [n / PER_SECOND[unit] for n in numbers]
    for t, value, place in zip(found, values, places, strict=True):
        if not 0 <= t < END:
            raise InvalidMessageError(place, value, f"a time between 1970 and 9999, in {SPOKEN[unit]}")
    return found, unit


def _one_unit(numbers: Sequence[float], values: Sequence[Any], places: Sequence[str]) -> str:
    """The unit of all numbers, by their size."""
    unit = _guess(float(np.median(numbers))) if len(numbers) else "s"
    for number, value, place in zip(numbers, values, places, strict=True):
        if number >= 0 and (own := _guess(number)) != unit:
            sizes = f"of the size of {SPOKEN[own]}, most are {SPOKEN[unit]}"
            remedy = f"{sizes}: correct it, or give the unit (--unit)"
            raise InvalidMessageError(place, value, remedy)
    return unit


def _guess(number: float) -> str:
    return "s" if number < 1e11 else "ms" if number < 1e14 else "us"


def _number(value: Any) -> float | None:
    if isinstance(value, bool | date):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _finite(value: Any, place: str, unit: str) -> float:
    number = _number(value)
    if number is None or not np.isfinite(number):
        kind = "seconds, milliseconds or microseconds" if unit == "auto" else SPOKEN[unit]
        raise InvalidMessageError(place, value, f"{kind} since the epoch, a number, as in the lines before")
    return number


def _iso(value: Any, place: str) -> float:
    try:
        moment = _moment(value)
    except (TypeError, ValueError) as error:
        remedy = "a time: seconds since the epoch, or ISO 8601 (2017-07-14T02:40:00Z)"
        raise InvalidMessageError(place, value, remedy) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return datetime.fromisoformat(value)
