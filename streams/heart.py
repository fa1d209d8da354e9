"""Where heartbeats set out: a record without a value on ``requests``, which intake reads like any other."""

import logging
from typing import Any

from aiokafka.errors import KafkaError

from schemas.heartbeats import KEY, Heartbeat
from streams.clock import BrokerClock

log = logging.getLogger(__name__)

APPEND_TIME = 1
"""Kafka's number for a timestamp that the broker has set."""


class Heart:
    """Writes beats with the shared producer.

    Each tells the worker's clock what time it is on the broker.  A broker that refuses them (workers need
    not be allowed to write to ``requests``) ends the beating and nothing else: the missing heartbeat shows
    on ``/metrics``.
    """

    def __init__(self, producer: Any, topic: str, clock: BrokerClock) -> None:
        self._producer = producer
        self._topic = topic
        self._clock = clock

    async def beat(self, beat: Heartbeat) -> bool:
        """Send one beat and wait until it has landed; False if the broker does not take it."""
        try:
            partitions = sorted(await self._producer.partitions_for(self._topic))
            place = partitions[beat.partition % len(partitions)]
            asked = self._clock.passed()
            landed = await self._producer.send_and_wait(
                self._topic, key=KEY, partition=place, headers=beat.headers(), timestamp_ms=beat.ts
            )
        except KafkaError as error:
            log.warning("%s: no heartbeat any more: %r", self._topic, error)
            return False
        if landed.timestamp_type == APPEND_TIME:
            self._clock.heard(landed.timestamp, asked)
        return True
