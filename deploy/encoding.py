"""The encoder pool of a process, put together: environment, model, caches."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.settings import Settings
from workers.encoder.cache import RedisCache, connect
from workers.encoder.factory import make_encoder
from workers.encoder.observer import EncoderObserver
from workers.encoder.pool import EncoderPool

SINGLE_THREADED = {
    # Read once, when torch loads the OpenMP runtime.  Waiting threads must sleep: spinning, they take the
    # core that the work needs (a single text goes from 15 to 450 ms on a busy machine).
    "OMP_WAIT_POLICY": "passive",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


def prepare_process() -> None:
    """Set ``SINGLE_THREADED`` where the environment does not say otherwise; before torch is loaded."""
    for name, value in SINGLE_THREADED.items():
        os.environ.setdefault(name, value)


@contextmanager
def encoder_pool(settings: Settings, observer: EncoderObserver | None = None) -> Iterator[EncoderPool]:
    """A pool with the settings' encoder and, where Redis is configured, the shared cache.

    Prepares the process's environment before torch is loaded.

    Raises
    ------
    SettingsError
        The encoder cannot be had on this machine.
    """
    prepare_process()
    encoder = make_encoder(settings.encoder)
    shared = None
    if settings.redis.url:
        client = connect(settings.redis.url)
        shared = RedisCache(
            client,
            encoder.spec,
            ttl_seconds=settings.redis.ttl_seconds,
            clock=time.monotonic,
            observer=observer,
        )
    pool = EncoderPool(
        [encoder],
        clock=time.perf_counter,
        max_tokens=settings.encoder.max_tokens,
        sub_tokens=settings.encoder.sub_tokens,
        memory_bytes=settings.encoder.memory_bytes,
        shared=shared,
        observer=observer,
    )
    try:
        yield pool
    finally:
        pool.close()
