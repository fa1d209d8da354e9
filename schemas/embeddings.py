"""Vectors of items, as the encoder publishes them."""

from typing import Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import InvalidMessageError
from schemas.ids import ItemKey, Millis

Modality = Literal["text", "image", "audio"]


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """One vector of one item by one version of one model.

    Parameters
    ----------
    model, version
        ``version`` names weights, precision, pooling and prompt: vectors of two versions never meet
        in one index.
    text_hash
        Hash of what was encoded: an unchanged text is not encoded again.
    vector
        Little-endian float16, ``dim`` of them, normalised to length 1; finite.
    """

    item_id: ItemKey
    model: str
    version: str
    modality: Modality
    dim: int
    text_hash: str
    vector: bytes
    ts: Millis

    def __post_init__(self) -> None:
        if len(self.vector) != 2 * self.dim:
            raise InvalidMessageError("$.vector", len(self.vector), f"expected {2 * self.dim} bytes")
        numbers = np.frombuffer(self.vector, "<f2")
        if not np.isfinite(numbers).all():
            at = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise InvalidMessageError(f"$.vector[{at}]", float(numbers[at]), "send finite numbers")

    @classmethod
    def of(cls, array: npt.NDArray[np.float32], **fields: object) -> Self:
        """From an array of shape (dim,)."""
        with np.errstate(over="ignore"):  # becomes infinity, which is refused
            vector = np.asarray(array, "<f2")
        return cls(dim=len(vector), vector=vector.tobytes(), **fields)  # type: ignore[arg-type]

    def array(self) -> npt.NDArray[np.float32]:
        """The vector, float32, shape (dim,)."""
        return np.frombuffer(self.vector, "<f2").astype(np.float32)
