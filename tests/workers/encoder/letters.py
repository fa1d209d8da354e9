"""A real encoder that is small enough to reason about: counts letters."""

import threading
from collections.abc import Sequence

import numpy as np

from workers.encoder.protocol import EncodeError, Tokens, Vectors
from workers.encoder.spec import EncoderSpec

DIM = 26


class LetterEncoder:
    """The vector of a text is its letters' frequencies; texts with ``poison`` in them cannot be encoded.

    ``gate`` holds every batch back until it is set; ``busy`` is set when a batch has come.
    """

    def __init__(self) -> None:
        self.pass_tokens = 256
        self.spec = EncoderSpec(model="letters", weights="none", precision="fp32", dim=DIM, max_tokens=64)
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.batches: list[list[Tokens]] = []

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        if any("untokenizable" in text for text in texts):
            raise UnicodeError("no token for this")
        return [[ord(c) for c in text[:64]] for text in texts]

    def encode(self, batch: Sequence[Tokens]) -> Vectors:
        self.busy.set()
        self.gate.wait(120)
        self.batches.append(list(batch))
        if any("poison" in bytes(t % 256 for t in tokens).decode("latin-1") for tokens in batch):
            raise EncodeError("poison")
        counts = np.full((len(batch), DIM), 1e-3, np.float32)
        for row, tokens in enumerate(batch):
            for token in tokens:
                counts[row, token % DIM] += 1
            if "nan" in bytes(t % 256 for t in tokens).decode("latin-1"):
                counts[row] = np.nan
        return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)
