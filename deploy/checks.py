"""What the types of the settings cannot say: addresses, names, finite numbers, what is installed."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import SettingsError, shorten
from schemas.settings import Settings
from schemas.topics import Topic
from workers.encoder.factory import MAKERS

NAME = re.compile(r"[A-Za-z0-9._-]+")
"""What Kafka takes as the name of a topic or a group."""

LONGEST_NAMESPACE = 249 - max(len(topic.value) for topic in Topic) - 1
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def check(settings: Settings) -> None:
    """Refuse what cannot work, before anything is started with it.

    Raises
    ------
    SettingsError
        Names the key, the value (never a secret's) and the remedy.

    Examples
    --------
    >>> check(Settings())
    """
    for key, value in _numbers(msgspec.to_builtins(settings)):
        if not math.isfinite(value):
            raise SettingsError(f"{key}: {value}: write a finite number")
    for address in settings.kafka.bootstrap.split(","):
        _check_address("kafka.bootstrap", settings.kafka.bootstrap, address)
    _check_name("kafka.namespace", settings.kafka.namespace, LONGEST_NAMESPACE, empty=True)
    _check_name("kafka.group", settings.kafka.group, 200, empty=False)
    for number, mapping in enumerate(settings.intake.mappings):
        _check_name(f"intake.mappings[{number}].topic", mapping.topic, 249, empty=False)
    if settings.kafka.username and not settings.kafka.password:
        raise SettingsError("kafka.password: (missing): kafka.username needs one")
    _check_encoder(settings.encoder.model)
    if settings.redis.url and not settings.redis.url.startswith(REDIS_SCHEMES):
        raise SettingsError("redis.url: ***: write redis://host:port/number, rediss://… or unix://…")
    if not settings.api.host or re.search(r"[\s/]", settings.api.host):
        raise SettingsError(f"api.host: {settings.api.host!r}: write a host name or an address to listen on")


def _numbers(tree: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every float with its dotted key."""
    if isinstance(tree, float):
        yield key, tree
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield from _numbers(value, f"{key}.{name}".removeprefix("."))


def _check_address(key: str, whole: str, address: str) -> None:
    """``host:port``; an IPv6 host stands in brackets.

    Examples
    --------
    >>> _check_address("kafka.bootstrap", "b:9092", "b:9092")
    >>> _check_address("kafka.bootstrap", "b:99999", "b:99999")
    Traceback (most recent call last):
    ...
    schemas.errors.SettingsError: kafka.bootstrap: 'b:99999': the port of 'b:99999' must be 1 to 65535
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or re.search(r"[\s/]", host) or (":" in host and not bracketed):
        raise SettingsError(
            f"{key}: {shorten(whole)}: {address!r} is no host:port; write broker-1:9092,broker-2:9092"
        )
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise SettingsError(f"{key}: {shorten(whole)}: the port of {address!r} must be 1 to 65535")


def _check_name(key: str, value: str, longest: int, *, empty: bool) -> None:
    if not value and empty:
        return
    if len(value) > longest or not NAME.fullmatch(value):
        remedy = f"1 to {longest} letters, digits, '.', '_' and '-'"
        raise SettingsError(f"{key}: {shorten(value)}: write {remedy}")


def _check_encoder(model: str) -> None:
    if model not in MAKERS and not Path(model).is_dir():
        remedy = f"choose {', '.join(map(repr, MAKERS))}, or a folder that holds a model"
        raise SettingsError(f"encoder.model: {shorten(model)}: {remedy}")
