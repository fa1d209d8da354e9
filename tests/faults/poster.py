"""Clients of the HTTP side: each sends its batch again until it is told 202."""

import asyncio
from typing import Any

import httpx
import msgspec

from schemas.topics import Topic
from tests.faults.load import Generator

BATCH = 25
HEADERS = {"content-type": "application/json"}
TYPES = {Topic.CLICKS: "click", Topic.PURCHASES: "purchase", Topic.REQUESTS: "request"}


class Poster:
    """Posts what a generator makes, in order, and counts what was acknowledged.

    Attributes
    ----------
    again
        Batches that were sent more than once: an answer was missing or not 202.
    """

    def __init__(self, generator: Generator, url: str) -> None:
        self.generator = generator
        self.again = 0
        self._url = url

    async def write(self, count: int, seconds: float) -> None:
        """So many events in so many seconds, or slower where nobody answers."""
        started = asyncio.get_running_loop().time()
        async with httpx.AsyncClient(timeout=10.0) as client:
            for done in range(0, count, BATCH):
                await self._post(client, [self._body() for _ in range(min(BATCH, count - done))])
                ahead = started + (done + BATCH) / count * seconds - asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, ahead))

    def _body(self) -> dict[str, Any]:
        topic, _, value = self.generator.message()
        body = msgspec.json.decode(value) | {"type": TYPES[topic]}
        return body | {"request_id": body["event_id"]} if topic is Topic.REQUESTS else body

    async def _post(self, client: httpx.AsyncClient, batch: list[dict[str, Any]]) -> None:
        while True:
            try:
                answer = await client.post(
                    f"{self._url}/v1/events", content=msgspec.json.encode(batch), headers=HEADERS
                )
            except httpx.HTTPError:  # killed, or not up again yet
                answer = None
            if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
                self.generator.sent.acknowledged += len(batch)
                return
            assert answer is None or answer.is_server_error, answer.text
            self.again += 1
            await asyncio.sleep(0.3)
