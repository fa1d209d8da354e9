"""What the pool asks of an encoder, whatever it encodes with."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from workers.encoder.spec import EncoderSpec

Tokens = list[int]
Vectors = npt.NDArray[np.float32]


class Encoder(Protocol):
    """One model on one device; used by one thread at a time."""

    @property
    def spec(self) -> EncoderSpec:
        """Which vectors these are."""
        ...

    @property
    def pass_tokens(self) -> int:
        """Padded tokens of one forward pass that its device works best with."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of each text, cut at ``spec.max_tokens``; their number is what a text costs.

        May be called from another thread than ``encode``.
        """
        ...

    def encode(self, batch: Sequence[Tokens]) -> Vectors:
        """Vectors of one padded batch, float32, shape (len(batch), spec.dim), each of length 1."""
        ...


class EncodeError(Exception):
    """A text that the encoder cannot turn into a finite vector."""
