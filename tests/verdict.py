"""What no second try excuses."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

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


def second_try(test: str) -> pytest.MarkDecorator:
    """The mark that gives a test, by its node id, another try, unless something was found in the first."""
    return pytest.mark.flaky(reruns=1, condition=partial(innocent, test))


def innocent(test: str, error: BaseException | None) -> bool:
    """Whether nothing was found lost, doubled or wrong in it, whatever else it failed of."""
    return not isinstance(error, VerdictError) and test not in GUILTY


def current_test() -> str:
    """Its node id, as pytest tells it."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
