"""The pool: one vector per text, whatever fails around it."""

import threading
import time

import msgspec
import numpy as np
import pytest
import redis

from tests.workers.encoder.conftest import running_pool
from tests.workers.encoder.letters import DIM, LetterEncoder
from workers.encoder.cache import RedisCache, connect
from workers.encoder.observer import NullEncoderObserver
from workers.encoder.pool import EncoderPool
from workers.encoder.protocol import EncodeError

SECONDS = 60.0
"""A starved machine has a minute."""


class Counter(NullEncoderObserver):
    def __init__(self):
        self.joined = 0
        self.hits = {"memory": 0, "redis": 0}
        self.texts = self.tokens = self.padded = self.failed = 0

    def batch_encoded(self, texts, tokens, padded, seconds):
        self.texts += texts
        self.tokens += tokens
        self.padded += padded

    def cache_hit(self, level, texts):
        self.hits[level] += texts

    def text_joined(self):
        self.joined += 1

    def text_failed(self):
        self.failed += 1


def test_vectors_come_back_in_the_order_of_the_texts(make_pool, letters):
    """Sorting by length inside is invisible outside."""
    texts = [c * n for n, c in enumerate("zyxabcpq", start=1)]
    vectors = make_pool(letters, sub_tokens=8).encode(texts)
    alone = np.vstack([letters.encode(letters.tokenize([text])) for text in texts])
    assert vectors.shape == (8, DIM)
    np.testing.assert_allclose(vectors, alone, atol=1e-3)


def test_equal_texts_are_encoded_once(letters):
    """Three asks for one text while it is being encoded: one encoding, two joined; later, memory."""
    counter = Counter()
    letters.gate.clear()
    with running_pool(letters, observer=counter) as pool:
        futures = [*pool.submit(["tea", "tea"]), *pool.submit(["tea"])]
        letters.gate.set()
        assert len({future.result(SECONDS) for future in futures}) == 1
        pool.encode(["tea"])
    assert (counter.texts, counter.joined, counter.hits["memory"]) == (1, 2, 1)


def test_a_poison_text_fails_alone(make_pool, letters):
    """A batch that fails is halved until the text at fault stands alone; 30 neighbours get vectors."""
    counter = Counter()
    letters.gate.clear()
    pool = make_pool(letters, observer=counter, sub_tokens=4096)
    texts = [f"text {i}" for i in range(15)] + ["poison"] + [f"more {i}" for i in range(15)]
    futures = pool.submit(texts)
    letters.gate.set()
    failed = [text for text, future in zip(texts, futures, strict=True) if future.exception(SECONDS)]
    assert failed == ["poison"]
    assert counter.failed == 1
    with pytest.raises(EncodeError, match="poison"):
        futures[15].result()


def test_a_text_that_has_no_tokens_fails_alone(make_pool, letters):
    """The tokeniser refuses one text: the others of the call are encoded."""
    good, bad = make_pool(letters).submit(["good", "untokenizable"])
    assert isinstance(bad.exception(SECONDS), EncodeError)
    assert len(good.result(SECONDS)) == 2 * DIM


def test_a_vector_that_is_not_finite_never_leaves(make_pool, letters):
    """NaN from the model is the text's failure."""
    good, bad = make_pool(letters).submit(["good", "nan"])
    assert isinstance(bad.exception(SECONDS), EncodeError)
    assert np.isfinite(np.frombuffer(good.result(SECONDS), "<f2")).all()


def test_a_failed_text_may_be_asked_for_again(make_pool, letters):
    """Failures are not cached: the next ask encodes again."""
    pool = make_pool(letters)
    for _ in range(2):
        (future,) = pool.submit(["poison"])
        assert isinstance(future.exception(SECONDS), EncodeError)
    assert len(letters.batches) == 2


def test_cancelled_asks_do_not_harm_the_worker(make_pool, letters):
    """Who cancels is skipped; who waits for the same text is served."""
    letters.gate.clear()
    pool = make_pool(letters)
    (gone,) = pool.submit(["tea"])
    (here,) = pool.submit(["tea"])
    assert gone.cancel()
    letters.gate.set()
    assert here.result(SECONDS)
    assert pool.encode(["cup"]).shape == (1, DIM)


def test_queued_texts_are_taken_together(letters):
    """While the encoder is busy texts gather, and the next take is one batch of sub-batches."""
    counter = Counter()
    letters.gate.clear()
    with running_pool(letters, observer=counter, max_tokens=1000, sub_tokens=20) as pool:
        pool.submit(["a"])
        while pool.queued_tokens:  # until the encoder is busy with it
            time.sleep(0.001)
        for i in range(8):
            pool.submit([f"{i}{'b' * 9}"])
        letters.gate.set()
    assert [len(batch) for batch in letters.batches] == [1, 2, 2, 2, 2]
    assert (counter.texts, counter.tokens, counter.padded) == (9, 81, 81)


def test_closing_encodes_what_is_queued(letters):
    """Nobody who asked is left waiting, and a closed pool takes nothing more."""
    letters.gate.clear()
    pool = EncoderPool([letters], clock=time.perf_counter)
    futures = pool.submit(["one", "two"])
    threading.Timer(0.05, letters.gate.set).start()
    pool.close()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(["three"])


def test_two_encoders_share_the_queue():
    """Each device has a thread of its own: while one is held, the other encodes."""
    held, free = LetterEncoder(), LetterEncoder()
    held.gate.clear()
    pool = EncoderPool([held, free], clock=time.perf_counter, max_tokens=4, memory_bytes=0)
    futures = [pool.submit([f"t{i}"])[0] for i in range(20)]
    deadline = time.monotonic() + SECONDS
    while sum(future.done() for future in futures) < 18 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sum(future.done() for future in futures) >= 18
    held.gate.set()
    pool.close()
    assert all(future.done() for future in futures)


def test_encoders_of_two_specs_do_not_share_a_pool(letters):
    """Their vectors would meet in one index."""
    other = LetterEncoder()
    other.spec = msgspec.structs.replace(other.spec, weights="others")
    with pytest.raises(ValueError, match="one spec"):
        EncoderPool([letters, other], clock=time.perf_counter)
    with pytest.raises(ValueError, match="at least one"):
        EncoderPool([], clock=time.perf_counter)


@pytest.mark.redis
def test_a_second_worker_reads_from_redis(make_pool, letters, redis_url):
    """What one process encoded, the next one has after one round trip."""
    counter = Counter()

    def shared():
        client = connect(redis_url, timeout_seconds=5.0)
        return RedisCache(client, letters.spec, ttl_seconds=100, clock=time.monotonic)

    first = make_pool(letters, shared=shared()).encode(["tea", "cup"])
    with redis.Redis.from_url(redis_url) as client:
        deadline = time.monotonic() + SECONDS
        while len(client.keys()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    second = make_pool(letters, shared=shared(), observer=counter).encode(["tea", "cup"])
    np.testing.assert_array_equal(first, second)
    assert counter.hits["redis"] == 2
    assert counter.texts == 0


@pytest.mark.redis
def test_redis_may_die_in_the_middle(make_pool, letters, redis_url):
    """Redis goes away while the worker works: every text still gets its vector."""
    client = connect(redis_url, timeout_seconds=5.0)
    shared = RedisCache(client, letters.spec, ttl_seconds=100, clock=time.monotonic, rest_seconds=60.0)
    pool = make_pool(letters, shared=shared)
    pool.encode(["before"])
    with redis.Redis.from_url(redis_url) as client:
        client.shutdown(nosave=True)
    assert pool.encode([f"after {i}" for i in range(50)]).shape == (50, DIM)
    assert shared.resting
