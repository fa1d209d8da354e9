"""The latest list of one person, for whoever asks on the command line: from Redis, else from the topic."""

from typing import Literal

import click

from schemas.errors import InvalidMessageError, UnavailableError
from schemas.recommendations import Recommendation
from schemas.settings import Settings
from streams.tail import latest_list
from streams.view import connect, read_list

Source = Literal["redis", "topic"]


async def find_list(settings: Settings, user_id: str, surface: str) -> tuple[Recommendation, Source]:
    """The list and where it was found.

    Redis is asked first where it is configured; when it does not answer, or does not know the person (the
    view may not run), the topic is read.

    Raises
    ------
    InvalidMessageError
        Nobody by this id has a list.
    UnavailableError
        The broker does not answer.
    """
    found = await _from_redis(settings, user_id, surface) if settings.redis.url else None
    if found is not None:
        return found, "redis"
    found = await latest_list(settings.kafka, user_id, surface)
    if found is not None:
        return found, "topic"
    remedy = f"no list for the surface {surface!r} is known: check the id, or send a click or a request first"
    raise InvalidMessageError("user", user_id, remedy)


async def _from_redis(settings: Settings, user_id: str, surface: str) -> Recommendation | None:
    client = connect(settings.redis)
    try:
        return await read_list(client, settings.kafka.namespace, user_id, surface)
    except UnavailableError as error:
        click.echo(f"warning: {error}; reading the topic instead", err=True)
        return None
    finally:
        await client.aclose()
