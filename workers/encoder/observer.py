"""What happens in the pool, as facts that somebody may count."""

from typing import Literal, Protocol

Level = Literal["memory", "redis"]


class EncoderObserver(Protocol):
    """Told of every fact; must not raise and must not block."""

    def batch_encoded(self, texts: int, tokens: int, padded: int, seconds: float) -> None:
        """A batch left the encoder: its real tokens, and the tokens computed with padding."""
        ...

    def cache_hit(self, level: Level, texts: int) -> None:
        """Vectors came from a cache."""
        ...

    def text_joined(self) -> None:
        """A text was already being encoded; its vector is shared."""
        ...

    def text_failed(self) -> None:
        """A text could not be encoded, alone."""
        ...

    def circuit_opened(self, reason: str) -> None:
        """Redis failed; it is left alone for a while."""
        ...

    def circuit_closed(self) -> None:
        """Redis answers again."""
        ...


class NullEncoderObserver:
    """Counts nothing."""

    def batch_encoded(self, texts: int, tokens: int, padded: int, seconds: float) -> None:
        """Ignore."""

    def cache_hit(self, level: Level, texts: int) -> None:
        """Ignore."""

    def text_joined(self) -> None:
        """Ignore."""

    def text_failed(self) -> None:
        """Ignore."""

    def circuit_opened(self, reason: str) -> None:
        """Ignore."""

    def circuit_closed(self) -> None:
        """Ignore."""
