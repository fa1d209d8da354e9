"""What is compiled before anything is served is all that is ever compiled."""

import subprocess
import sys

import pytest


@pytest.mark.timeout(660)
def test_no_block_and_no_list_of_a_small_shop_needs_the_compiler():
    """That holds the interpreter for seconds.  In a process of its own, where no test has compiled."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.first_days"],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.splitlines() == []
