"""Options that verbs share."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from deploy.config import load
from schemas.settings import Settings

SETTINGS_VARIABLE = "STREAMWISE_SETTINGS"

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


learner = click.option(
    "--learner",
    type=click.Choice(["inline", "shared"]),
    help="Learn in each event process, or once a host ('streamwise learn'); default: learner.mode.",
)


def with_learner(settings: Settings, mode: Literal["inline", "shared"] | None) -> Settings:
    """The settings, with what ``--learner`` says."""
    if mode is None:
        return settings
    replace = msgspec.structs.replace
    return replace(settings, learner=replace(settings.learner, mode=mode))


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--settings FILE`` and pass the loaded ``Settings`` as ``settings``.

    Also prepares aiokafka for the broker's dialect, before anything connects.
    """

    @click.option(
        "--settings",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar=SETTINGS_VARIABLE,
        help="A TOML file of settings.",
    )
    @functools.wraps(function)
    def wrapped(*args: Any, path: Path | None, **kwargs: Any) -> Any:
        settings = load(path, os.environ)
        prepare(settings)
        return function(*args, settings=settings, **kwargs)

    return wrapped


def prepare(settings: Settings) -> None:
    """Install the work-arounds that the settings' broker needs, and no others."""
    if settings.kafka.dialect == "tansu":
        from deploy.embedded.compat import install  # noqa: PLC0415  aiokafka only where it is needed

        install()
