"""The HTTP side with a clock of its own, and messages to fill its view."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest

from deploy.api.app import create_api
from deploy.api.context import ApiContext, nothing_stored
from deploy.api.gateway import Gateway
from deploy.api.ladder import LowerRungs
from deploy.api.live import LiveView
from deploy.api.related import RelatedItems
from deploy.health import Health
from deploy.metrics import Metrics
from schemas.catalogue import Item
from schemas.events import Click, encode_event
from schemas.recommendations import Because, Recommendation, RecommendedItem
from schemas.settings import LearnerSettings, Settings
from schemas.topics import Topic

NOW = 1_800_000_000_000


def listed(user: str, *items: str, trigger: str = "t-1", **fields: object) -> Recommendation:
    """A list of these items, each with parts that add up."""
    rows = tuple(
        RecommendedItem(
            item_id=item,
            position=place,
            score=2.0 - place,
            propensity=0.5,
            parts={"transitions": 2.5 - place, "diversity": -0.5},
            because=(Because("bread", 1.0),),
        )
        for place, item in enumerate(items)
    )
    given = {"surface": "home", "arm": "treatment", "policy": "fused", "epoch": 0, "model": "rows-7"} | fields
    return Recommendation(
        decision_id=f"d-{trigger}", trigger_id=trigger, user_id=user, ts=NOW, items=rows, **given
    )


@dataclass
class Filled:
    """A view, and a hand that fills it."""

    view: LiveView
    now: int = NOW
    written: list[bytes] = field(default_factory=list)

    def take(self, topic: Topic, message: object, *, key: str = "", at: int | None = None) -> None:
        """A record as it would come from the broker."""
        value = message if isinstance(message, bytes) else msgspec.json.encode(message)
        self.view.take(topic, key.encode(), value, self.now if at is None else at, self.now)

    def click(self, user: str, item: str, event_id: str, *, at: int | None = None) -> None:
        """A click read back from ``events``."""
        event = Click(event_id=event_id, user_id=user, ts=self.now, item_id=item)
        self.take(Topic.EVENTS, encode_event(event), at=at)

    def title(self, item: str, title: str) -> None:
        """An item of the catalogue."""
        self.take(Topic.ITEMS, Item(item_id=item, title=title), key=item)

    def list(self, recommendation: Recommendation, *, at: int | None = None) -> None:
        """A list of ``recommendations``."""
        self.take(Topic.RECOMMENDATIONS, recommendation, at=at)


@pytest.fixture
def filled() -> Filled:
    """An empty view that counts into metrics of its own."""
    return Filled(LiveView(Metrics().api))


@pytest.fixture
def make_context(filled: Filled, tmp_path: Path) -> Callable[..., ApiContext]:
    """Contexts around the view; the gateway has no broker."""

    def make(**fields: object) -> ApiContext:
        settings = Settings(learner=LearnerSettings(directory=str(tmp_path)))
        numbers = iter(range(1_000_000))
        stored = fields.get("stored", nothing_stored)
        rungs = LowerRungs(settings, filled.view, stored, lambda: filled.now, lambda: f"{next(numbers):032x}")  # type: ignore[arg-type]
        given: dict[str, object] = {
            "settings": settings,
            "view": filled.view,
            "gateway": Gateway(filled.view, settings.kafka, rungs),
            "health": Health(),
            "metrics": Metrics(),
            "related": RelatedItems(settings),
            "clock": lambda: filled.now,
            "new_id": lambda: f"{next(numbers):032x}",
        }
        return ApiContext(**(given | fields))  # type: ignore[arg-type]

    return make


@pytest.fixture
async def client(make_context: Callable[..., ApiContext]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application, without sockets."""
    transport = httpx.ASGITransport(create_api(make_context()))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        yield client
