"""The pool: many threads ask, one thread per encoder encodes.

A text goes through the cheapest stage that knows its vector: memory, Redis, an encoding under way, and
only then the encoder.  An encoder's thread takes whatever is queued, up to a token budget, whenever it
is free.  A batch that fails is halved until the text at fault stands alone; its neighbours get their
vectors.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from workers.encoder.batcher import TokenQueue, padded, split
from workers.encoder.cache import MemoryCache, RedisCache
from workers.encoder.dedup import InFlight
from workers.encoder.observer import EncoderObserver, NullEncoderObserver
from workers.encoder.protocol import EncodeError, Encoder, Tokens, Vectors
from workers.encoder.spec import text_hash

Work = tuple[str, Tokens]
Vector = bytes
"""Little-endian float16, ``spec.dim`` of them, of length 1."""


class EncoderPool:
    """Encoders of one spec behind one queue.

    Parameters
    ----------
    encoders
        One per device; all of the same spec.
    clock
        Seconds, monotonic; only for the observer.
    max_tokens
        Tokens of one take from the queue; 0: two passes.
    sub_tokens
        Padded tokens of one forward pass; 0: what the first encoder works best with.
    memory_bytes
        Bound of the in-process cache.

    Raises
    ------
    ValueError
        No encoder, or encoders of different specs.
    """

    def __init__(
        self,
        encoders: Sequence[Encoder],
        *,
        clock: Callable[[], float],
        max_tokens: int = 0,
        sub_tokens: int = 0,
        memory_bytes: int = 64 << 20,
        shared: RedisCache | None = None,
        observer: EncoderObserver | None = None,
    ) -> None:
        if not encoders:
            raise ValueError("a pool needs at least one encoder")
        if len({encoder.spec for encoder in encoders}) > 1:
            raise ValueError("the encoders of one pool must have one spec: their vectors meet in one index")
        if sub_tokens < 0:
            raise ValueError(f"sub_tokens must not be negative, got {sub_tokens}")
        self.spec = encoders[0].spec
        self._tokenizer = encoders[0]
        self._clock = clock
        self._sub_tokens = sub_tokens or encoders[0].pass_tokens
        self._memory = MemoryCache(memory_bytes)
        self._shared = shared
        self._observer = observer or NullEncoderObserver()
        self._queue: TokenQueue[Work] = TokenQueue(max_tokens or 2 * self._sub_tokens)
        self._flight: InFlight[str, Future[Vector]] = InFlight()
        # Guards memory, queue, flight and closing; never held while tokenising, encoding or on a socket.
        self._ready = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, args=(e,), name=f"encoder-{i}", daemon=True)
            for i, e in enumerate(encoders)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait for an encoder: callers slow down by it."""
        return self._queue.tokens

    def submit(self, texts: Sequence[str]) -> list["Future[Vector]"]:
        """Ask for vectors; blocks for at most one Redis round trip and the tokeniser.

        Returns
        -------
        list of Future
            One per text, in order; each resolves to the vector, or to an ``EncodeError``.

        Raises
        ------
        RuntimeError
            The pool is closed.
        """
        keys = [text_hash(text) for text in texts]
        futures: list[Future[Vector]] = [Future() for _ in texts]
        fresh = self._join(dict(zip(keys, texts, strict=True)), keys, futures)
        if self._shared is not None and fresh:
            found = self._shared.get(list(fresh))
            self._observer.cache_hit("redis", len(found))
            self._resolve(found)
            fresh = {key: text for key, text in fresh.items() if key not in found}
        if fresh:
            self._enqueue(fresh)
        return futures

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of all texts, float32, shape (len(texts), dim); waits for them."""
        vectors = [np.frombuffer(future.result(), "<f2") for future in self.submit(texts)]
        return np.array(vectors, np.float32).reshape(len(texts), self.spec.dim)

    def close(self) -> None:
        """Encode what is queued, then stop the threads and let go of Redis."""
        with self._ready:
            self._closing = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()
        if self._shared is not None:
            self._shared.close()

    def _join(
        self, texts: dict[str, str], keys: Sequence[str], futures: Sequence["Future[Vector]"]
    ) -> dict[str, str]:
        """Serve from memory, attach to encodings under way; returns what nobody is making yet."""
        fresh: dict[str, str] = {}
        hits: list[tuple[Future[Vector], Vector]] = []
        joined = 0
        with self._ready:
            if self._closing:
                raise RuntimeError("the encoder pool is closed")
            for key, future in zip(keys, futures, strict=True):
                vector = self._memory.get(key)
                if vector is not None:
                    hits.append((future, vector))
                elif self._flight.join(key, future):
                    fresh[key] = texts[key]
                else:
                    joined += 1
        for future, vector in hits:
            future.set_result(vector)
        for _ in range(joined):
            self._observer.text_joined()
        if hits:
            self._observer.cache_hit("memory", len(hits))
        return fresh

    def _enqueue(self, texts: dict[str, str]) -> None:
        tokens = self._tokenize(texts)
        with self._ready:
            closed = self._closing
            if not closed:
                for key, units in tokens.items():
                    self._queue.put((key, units), len(units))
                self._ready.notify()
        if closed:
            self._fail(list(tokens), RuntimeError("the encoder pool is closed"))

    def _tokenize(self, texts: dict[str, str]) -> dict[str, Tokens]:
        """Of all texts at once; where that fails, one by one, so that only the text at fault fails."""
        try:
            return dict(zip(texts, self._tokenizer.tokenize(list(texts.values())), strict=True))
        except Exception as error:  # noqa: BLE001 - a tokeniser may raise anything; the text at fault reports it
            if len(texts) == 1:
                self._observer.text_failed()
                self._fail(list(texts), error)
                return {}
        return {k: tokens for key, text in texts.items() for k, tokens in self._tokenize({key: text}).items()}

    def _work(self, encoder: Encoder) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._closing or len(self._queue) > 0)
                batch = self._queue.take()
                if self._queue:
                    self._ready.notify()
            if not batch:
                return
            self._encode(encoder, batch)

    def _encode(self, encoder: Encoder, batch: Sequence[Work]) -> None:
        started = self._clock()
        lengths = [len(tokens) for _, tokens in batch]
        parts = split(lengths, self._sub_tokens)
        made: dict[str, Vector] = {}
        for part in parts:
            made |= self._halving(encoder, [batch[i] for i in part])
        seconds = self._clock() - started
        self._observer.batch_encoded(len(batch), sum(lengths), padded(lengths, parts), seconds)
        if self._shared is not None:
            self._shared.put(made)

    def _halving(self, encoder: Encoder, batch: Sequence[Work]) -> dict[str, Vector]:
        """Encode; on failure try the halves, so that one text cannot cost its neighbours their vectors."""
        try:
            vectors = _checked(encoder.encode([tokens for _, tokens in batch]))
        except Exception as error:  # noqa: BLE001 - an encoder may raise anything; the text at fault reports it
            if len(batch) == 1:
                self._observer.text_failed()
                self._fail([batch[0][0]], error)
                return {}
        else:
            made = {key: vector.tobytes() for (key, _), vector in zip(batch, vectors, strict=True)}
            self._resolve(made)
            return made
        middle = len(batch) // 2
        return self._halving(encoder, batch[:middle]) | self._halving(encoder, batch[middle:])

    def _resolve(self, vectors: dict[str, Vector]) -> None:
        with self._ready:
            waiting = [(self._flight.finish(key), vector) for key, vector in vectors.items()]
            for key, vector in vectors.items():
                self._memory.put(key, vector)
        for futures, vector in waiting:
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_result(vector)

    def _fail(self, keys: Sequence[str], error: Exception) -> None:
        with self._ready:
            waiting = [future for key in keys for future in self._flight.finish(key)]
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(EncodeError(f"{type(error).__name__}: {error}"))


def _checked(vectors: Vectors) -> "np.ndarray[tuple[int, ...], np.dtype[np.float16]]":
    """As published; a vector that is not finite or has no direction never leaves the pool."""
    if not np.isfinite(vectors).all() or not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-2).all():
        raise EncodeError("the encoder returned a vector that is not of length 1")
    return vectors.astype("<f2")
