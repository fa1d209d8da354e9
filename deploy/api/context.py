"""What the routes work with: one object, built by the composition root."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.api.gateway import Gateway
from deploy.api.live import LiveView
from deploy.api.related import RelatedItems
from deploy.api.stored import Stored
from deploy.health import Health
from deploy.metrics import Metrics
from schemas.recommendations import Recommendation
from schemas.settings import Settings


async def nothing_stored(user: str, surface: str) -> Recommendation | None:
    """The view when there is no Redis."""
    del user, surface
    return None


def new_id() -> str:
    """An id that nobody else makes up."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Everything that the routes share.

    Parameters
    ----------
    clock
        Milliseconds since the epoch.
    stored
        The second place to look for a list, after the process's own memory.
    related
        Answers what resembles an item, and what is rising.
    """

    settings: Settings
    view: LiveView
    gateway: Gateway
    health: Health
    metrics: Metrics
    related: RelatedItems
    clock: Callable[[], int]
    stored: Stored = nothing_stored
    new_id: Callable[[], str] = field(default=new_id)
