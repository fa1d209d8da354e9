"""Freed memory goes back to the system."""

import os
import platform

import pytest

from streams.memory import give_back
from tests.faults.watching import resident


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library gives memory back")
def test_what_lies_between_pieces_in_use_is_given_back():
    """Of 80 MB in small pieces one in fifty stays in use: nearly all of the rest is given back."""
    pieces = [bytes(4_000) for _ in range(20_000)]
    kept = pieces[::50]
    del pieces
    before = resident(os.getpid())
    assert give_back()
    assert before - resident(os.getpid()) > 40e6
    assert len(kept) == 400
