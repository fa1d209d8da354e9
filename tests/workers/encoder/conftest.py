"""Pools of the small encoder."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.workers.encoder.letters import LetterEncoder
from workers.encoder.pool import EncoderPool


@contextmanager
def running_pool(encoder: Any, **options: Any) -> Iterator[EncoderPool]:
    """A pool that is closed at the end."""
    pool = EncoderPool([encoder], clock=time.perf_counter, **options)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture
def make_pool() -> Iterator[Any]:
    """``make_pool(encoder, **options)``; closed after the test."""
    with ExitStack() as stack:
        yield lambda encoder, **options: stack.enter_context(running_pool(encoder, **options))


@pytest.fixture
def letters() -> LetterEncoder:
    return LetterEncoder()
