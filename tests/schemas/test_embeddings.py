"""Vectors on the wire: what cannot be compared is refused, with the place and the value."""

import msgspec
import numpy as np
import pytest

from schemas.embeddings import Embedding
from schemas.errors import InvalidMessageError

ABOUT = {"item_id": "i", "model": "m", "version": "1", "modality": "text", "text_hash": "h", "ts": 0}


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e6])
def test_a_number_that_is_none_is_refused(wrong):
    """NaN, infinities, and what half precision cannot hold: the place in the vector is named."""
    vector = np.array([0.6, wrong, 0.8], np.float32)
    with pytest.raises(InvalidMessageError, match=r"\$\.vector\[1\]: .*: send finite numbers"):
        Embedding.of(vector, **ABOUT)


def test_bytes_from_elsewhere_are_read_as_strictly():
    """The same for a message that another program wrote, and for one that was cut."""
    good = Embedding.of(np.array([0.6, 0.8], np.float32), **ABOUT)
    message = msgspec.to_builtins(good)
    spoiled = message | {"vector": np.array([0.6, np.nan], "<f2").tobytes()}
    for data, remedy in ((spoiled, "finite"), (message | {"dim": 3}, "expected 6 bytes")):
        with pytest.raises(InvalidMessageError, match=remedy):
            msgspec.json.decode(msgspec.json.encode(data), type=Embedding)
