"""Every JSON message by name and version: what ``streamwise schemas`` writes and the golden samples cover."""

from typing import Any

import msgspec

from schemas.catalogue import Item, User
from schemas.control import PolicySwitch, Retire
from schemas.embeddings import Embedding
from schemas.events import Click, Event, Feedback, Impression, Purchase, Request
from schemas.recommendations import Recommendation
from schemas.reports import CausalReport

VERSION = 1

MESSAGES: dict[str, Any] = {
    "clicks": Click,
    "purchases": Purchase,
    "impressions": Impression,
    "feedback": Feedback,
    "requests": Request,
    "items": Item,
    "users": User,
    "events": Event,
    "recommendations": Recommendation,
    "embeddings": Embedding,
    "causal-reports": CausalReport,
    "control": PolicySwitch | Retire,
}
"""Topic (``control`` is the control rows inside ``signals``) to the type of its values."""


def json_schemas() -> dict[str, dict[str, Any]]:
    """One JSON Schema document (2020-12) for each message.

    Examples
    --------
    >>> json_schemas()["items"]["title"]
    'items'
    """
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "x-version": VERSION}
    return {name: {**head, "title": name, **msgspec.json.schema(kind)} for name, kind in MESSAGES.items()}
