"""Caches: bounded in memory; in Redis, an acceleration that may fail at any time."""

import socket
import time

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from workers.encoder.cache import MemoryCache, RedisCache, connect
from workers.encoder.observer import NullEncoderObserver
from workers.encoder.spec import EncoderSpec

SPEC = EncoderSpec(model="letters", weights="none", precision="fp32", dim=2, max_tokens=8)


class Circuit(NullEncoderObserver):
    """Notes when the circuit opens and closes."""

    def __init__(self):
        self.states = []

    def circuit_opened(self, reason):
        self.states.append("open")

    def circuit_closed(self):
        self.states.append("closed")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2000)), max_size=100), st.integers(0, 8000))
def test_memory_never_exceeds_its_bytes(puts, bound):
    """Whatever is kept, the accounted bytes stay within the bound and match the entries."""
    cache = MemoryCache(bound)
    for key, size in puts:
        cache.put(str(key), bytes(size))
        assert 0 <= cache.bytes <= bound
    assert (cache.bytes == 0) == (len(cache) == 0)


def test_the_least_recently_used_vector_leaves_first():
    """A look-up keeps a vector; the one nobody asked for leaves."""
    cache = MemoryCache(700)
    cache.put("a", bytes(50))
    cache.put("b", bytes(50))
    assert cache.get("a") is not None
    cache.put("c", bytes(50))
    assert [cache.get(key) is None for key in "abc"] == [False, True, False]


def make(url, clock, observer=None, **options):
    """A cache with time enough for a starved Redis."""
    client = connect(url, timeout_seconds=5.0)
    return RedisCache(client, SPEC, ttl_seconds=100, clock=clock, observer=observer, **options)


@pytest.mark.redis
def test_vectors_survive_in_redis_under_model_version_and_text(redis_url):
    """What one worker put, another finds; the key names model, version and text; it expires."""
    one, two = make(redis_url, time.monotonic), make(redis_url, time.monotonic)
    one.put({"hash": b"abcd"})
    assert two.get(["hash", "other"]) == {"hash": b"abcd"}
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys()
        assert key.decode() == f"encoder:letters:{SPEC.version}:hash"
        assert 0 < client.ttl(key) <= 100
    one.close()
    two.close()


@pytest.mark.redis
def test_a_value_of_another_length_is_not_a_vector(redis_url):
    """Whatever somebody wrote under our key, only a vector's bytes come back."""
    cache = make(redis_url, time.monotonic)
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"encoder:letters:{SPEC.version}:hash", b"abc")
    assert cache.get(["hash"]) == {}
    cache.close()


def test_a_dead_redis_is_left_alone_for_a_while():
    """One failure, then no call until the rest is over; the next failure is not told again."""
    clock, circuit = Clock(), Circuit()
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        cache = make(f"redis://127.0.0.1:{taken.getsockname()[1]}/0", clock, circuit, rest_seconds=5)
        assert cache.get(["hash"]) == {}
        assert cache.resting
        clock.now = 4.9
        assert cache.resting
        clock.now = 5.1
        assert not cache.resting
        cache.put({"hash": b"abcd"})
        assert cache.resting
        assert circuit.states == ["open"]
        cache.close()


def test_a_silent_redis_costs_one_timeout():
    """A server that accepts and never answers holds the worker for the timeout, once."""
    clock, circuit = Clock(), Circuit()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = RedisCache(
            connect(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_seconds=0.05),
            SPEC,
            ttl_seconds=1,
            clock=clock,
            observer=circuit,
        )
        assert cache.get(["hash"]) == {}
        assert cache.get(["hash"]) == {}
        assert circuit.states == ["open"]
        cache.close()


@pytest.mark.redis
def test_the_circuit_closes_when_redis_answers_again(redis_url):
    """After the rest the cache is used again."""
    clock, circuit = Clock(), Circuit()
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", "1")
        cache = make(redis_url, clock, circuit)
        cache.put({"hash": b"abcd"})
        assert circuit.states == ["open"]
        client.config_set("maxmemory", "0")
    clock.now = 10
    cache.put({"hash": b"abcd"})
    assert circuit.states == ["open", "closed"]
    assert cache.get(["hash"]) == {"hash": b"abcd"}
    cache.close()
