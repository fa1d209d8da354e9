"""What the batcher refuses."""

import pytest

from workers.encoder.batcher import TokenQueue, split


def test_a_budget_below_one_token_is_refused():
    """Nothing could ever leave."""
    with pytest.raises(ValueError, match="budget must be at least 1"):
        split([1], 0)
    with pytest.raises(ValueError, match="max_tokens must be at least 1"):
        TokenQueue(0)


def test_a_text_without_tokens_is_refused():
    """A cost of 0 would make takes endless."""
    with pytest.raises(ValueError, match="at least 1 token"):
        TokenQueue[str](8).put("x", 0)
