"""What no second try excuses."""

import os
from collections.abc import Mapping
from typing import Any

GUILTY: set[str] = set()
"""Tests in which something was found, whatever else they then failed of."""


class VerdictError(AssertionError):
    """Something was lost, doubled, wrong, or never worked off."""

    def __init__(self, *what: object) -> None:
        super().__init__(*what)
        GUILTY.add(current_test())


def accuse(wrong: Mapping[Any, Any]) -> None:
    """Remember the test at hand, if anything is wrong: it may fail of something else before it says so."""
    if wrong:
        GUILTY.add(current_test())


def acquit(wrong: Mapping[Any, Any]) -> None:
    """Raise a ``VerdictError`` that names everything that is wrong, if anything is."""
    if wrong:
        raise VerdictError(dict(wrong))


def current_test() -> str:
    """Its node id, as pytest tells it."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
