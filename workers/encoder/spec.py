"""What an encoder is, as a name under which its vectors may meet."""

import unicodedata
from hashlib import blake2b
from typing import Literal

import msgspec

from schemas.embeddings import Modality

Precision = Literal["fp32", "bf16"]


class EncoderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what vector a text gets.

    Two encoders whose specs differ in any field have different versions, and their vectors never meet
    in one index or one cache entry.

    Parameters
    ----------
    model
        Name, for people.
    weights
        Hex digest of the weights' bytes.
    precision
        Of the arithmetic: bfloat16 moves neighbours a little, so it is part of the identity.
    dim
        Length of a vector, at least 1.
    max_tokens
        Longer texts are cut here, special tokens included; at least 3.
    pooling, prompt
        How token vectors become one, and what is written before every text.
    """

    model: str
    weights: str
    precision: Precision
    dim: int
    max_tokens: int
    pooling: Literal["mean"] = "mean"
    prompt: str = ""
    modality: Modality = "text"

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim must be at least 1, got {self.dim}")
        if self.max_tokens < 3:
            raise ValueError(f"max_tokens must be at least 3 (two are special tokens), got {self.max_tokens}")

    @property
    def version(self) -> str:
        """A hash of all fields: 16 hex digits.

        Examples
        --------
        >>> one = EncoderSpec(model="m", weights="ab", precision="fp32", dim=2, max_tokens=8)
        >>> one.version == msgspec.structs.replace(one, precision="bf16").version
        False
        """
        return blake2b(msgspec.json.encode(self, order="deterministic"), digest_size=8).hexdigest()


def text_hash(text: str) -> str:
    r"""A 128-bit hash of a text, 32 hex digits; texts that differ only in Unicode form share it.

    Examples
    --------
    >>> text_hash("caf\u00e9") == text_hash("cafe\u0301")
    True
    """
    # Lone surrogates are legal in JSON strings but not in UTF-8: they hash by their escape.
    data = unicodedata.normalize("NFC", text).encode("utf-8", "backslashreplace")
    return blake2b(data, digest_size=16).hexdigest()
