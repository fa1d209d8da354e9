"""Vectors that were already made: a bounded table in memory, and Redis behind it.

Values are little-endian float16, as they are published: a cached vector is the published vector.
Redis is an acceleration and never a condition: when it fails, it is left alone for a while and the
encoder goes on.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis

from workers.encoder.observer import EncoderObserver, NullEncoderObserver
from workers.encoder.spec import EncoderSpec

ENTRY_OVERHEAD = 250
"""Bytes that CPython spends on one entry besides the vector: two objects and their place in the table."""


class MemoryCache:
    """Least recently used vectors leave first, by bytes.

    Parameters
    ----------
    max_bytes
        Bound on vectors, keys and overhead together; 0 keeps nothing.

    Examples
    --------
    >>> cache = MemoryCache(max_bytes=1000)
    >>> cache.put("a", bytes(300)); cache.put("b", bytes(300))
    >>> cache.get("a") is None, cache.get("b") is None
    (True, False)
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes must not be negative, got {max_bytes}")
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> bytes | None:
        """The vector of ``key``, which is now the most recently used."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keep a vector."""
        self._forget(key)
        self._entries[key] = value
        self.bytes += _size(key, value)
        while self.bytes > self.max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: str) -> None:
        value = self._entries.pop(key, None)
        if value is not None:
            self.bytes -= _size(key, value)


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OVERHEAD


class RedisCache:
    """Vectors in Redis, shared by all workers, behind a circuit breaker.

    Parameters
    ----------
    client
        Made with short timeouts (``connect``).
    spec
        Names the vectors: keys are ``encoder:MODEL:VERSION:TEXT_HASH``.
    ttl_seconds
        After which Redis may forget a vector.
    clock
        Seconds, monotonic.
    rest_seconds
        How long Redis is left alone after a failure.
    """

    def __init__(
        self,
        client: "redis.Redis",
        spec: EncoderSpec,
        *,
        ttl_seconds: int,
        clock: Callable[[], float],
        rest_seconds: float = 5.0,
        observer: EncoderObserver | None = None,
    ) -> None:
        self._client = client
        self._prefix = f"encoder:{spec.model}:{spec.version}:"
        self._bytes = 2 * spec.dim
        self._ttl = ttl_seconds
        self._clock = clock
        self._rest = rest_seconds
        self._observer = observer or NullEncoderObserver()
        self._closed_until = float("-inf")
        self._failing = False

    @property
    def resting(self) -> bool:
        """Whether Redis is being left alone."""
        return self._clock() < self._closed_until

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The vectors that Redis has, in one round trip; none while it rests."""
        if not keys or self.resting:
            return {}
        try:
            found: Sequence[Any] = self._client.mget([self._prefix + key for key in keys])
        except (redis.RedisError, OSError) as error:
            self._open(error)
            return {}
        self._answered()
        # A value of another length is not a vector of this model: it is encoded again and overwritten.
        pairs = zip(keys, found, strict=True)
        return {key: value for key, value in pairs if value is not None and len(value) == self._bytes}

    def put(self, vectors: Mapping[str, bytes]) -> None:
        """Keep vectors, in one round trip; forgotten while Redis rests."""
        if not vectors or self.resting:
            return
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for key, value in vectors.items():
                    pipeline.set(self._prefix + key, value, ex=self._ttl)
                pipeline.execute()
        except (redis.RedisError, OSError) as error:
            self._open(error)
        else:
            self._answered()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _open(self, error: Exception) -> None:
        self._closed_until = self._clock() + self._rest
        if not self._failing:
            self._failing = True
            self._observer.circuit_opened(f"{type(error).__name__}: {error}")

    def _answered(self) -> None:
        if self._failing:
            self._failing = False
            self._observer.circuit_closed()


def connect(url: str, timeout_seconds: float = 0.25) -> "redis.Redis":
    """A client that fails fast: no retries, every wait bounded."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=None,
        retry_on_timeout=False,
    )
