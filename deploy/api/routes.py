"""Routes for programs: lists, their reasons, events, and operations."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Controller, MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery

from deploy.api.bodies import read_ask, read_events
from deploy.api.context import ApiContext
from deploy.api.errors import NotHereError
from deploy.health import Readiness
from schemas.errors import InvalidMessageError
from schemas.recommendations import Because, Recommendation, RecommendedItem
from schemas.related import SimilarItems, TrendingItems

AnyRequest = Request[Any, Any, Any]
Context = NamedDependency[ApiContext]

MAX_DEADLINE_MS = 30_000


class Accepted(msgspec.Struct, frozen=True):
    """So many events stand in the log."""

    accepted: int
    event_ids: tuple[str, ...]


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why an item stands in a person's newest list.

    Parameters
    ----------
    sentence
        The greatest parts and the history items that spoke for it, in words.
    parts
        Added left to right they give ``score``.
    propensity
        The exact probability with which it was chosen for its place.
    """

    user_id: str
    item_id: str
    decision_id: str
    trigger_id: str
    position: int
    score: float
    propensity: float
    parts: dict[str, float]
    because: tuple[Because, ...]
    explored: bool
    pinned: bool
    rung: str
    model: str
    sentence: str


class Alive(msgspec.Struct, frozen=True):
    """The process turns."""

    alive: bool = True


class ListController(Controller):
    """Newest lists, their reasons, and lists on demand."""

    path = "/v1"
    tags = ("lists",)

    @get("/recommendations/{user:str}")
    async def newest(
        self, context: Context, user: FromPath[str], surface: FromQuery[str] = "home"
    ) -> Recommendation:
        """The newest list of a person."""
        return await _newest(context, user, surface)

    @get("/recommendations/{user:str}/why/{item:str}")
    async def why(
        self, context: Context, user: FromPath[str], item: FromPath[str], surface: FromQuery[str] = "home"
    ) -> Why:
        """Why an item stands in a person's newest list."""
        newest = await _newest(context, user, surface)
        for found in newest.items:
            if found.item_id == item:
                return _why(context, newest, found)
        listed = ", ".join(i.item_id for i in newest.items)
        raise NotHereError("item", item, f"ask for an item of the newest list: {listed}")

    @post("/requests", status_code=HTTPStatus.OK)
    async def ask(
        self, request: AnyRequest, context: Context, deadline_ms: FromQuery[float | None] = None
    ) -> Recommendation:
        """Ask for a list and wait for it; after the deadline the newest list, marked ``last-good``."""
        wait = context.settings.lists.deadline_ms if deadline_ms is None else deadline_ms
        if not 0 < wait <= MAX_DEADLINE_MS:
            raise InvalidMessageError("deadline_ms", wait, f"send above 0 and at most {MAX_DEADLINE_MS}")
        body = await json_body(request)
        settings = context.settings
        asked = read_ask(body, context.clock(), settings.intake, context.new_id, settings.lists.k)
        return await context.gateway.ask(asked, wait)


class ItemController(Controller):
    """What is said of items by themselves, as of the learner's newest snapshot."""

    path = "/v1"
    tags = ("items",)

    @get("/items/{item:str}/similar")
    async def similar(self, context: Context, item: FromPath[str], k: FromQuery[int] = 10) -> SimilarItems:
        """Items that resemble an item, best first, with what says so; delisted ones are left out."""
        try:
            return await context.related.similar(item, k)
        except InvalidMessageError as error:
            if error.field == "item":
                raise NotHereError("item", item, error.remedy) from error
            raise

    @get("/trending")
    async def trending(self, context: Context, k: FromQuery[int] = 10) -> TrendingItems:
        """Items that get more attention than usual, beyond chance, the surest first."""
        return await context.related.trending(k)


class EventController(Controller):
    """Events straight into the log."""

    path = "/v1"
    tags = ("events",)

    @post("/events", status_code=HTTPStatus.ACCEPTED)
    async def write(self, request: AnyRequest, context: Context) -> Accepted:
        """Append one event, or an array of them (all or none).

        Answered when the broker has them; sending the same event again counts once.
        """
        body = await json_body(request)
        events = read_events(body, context.clock(), context.settings.intake)
        await context.gateway.write(events)
        return Accepted(len(events), tuple(event.event_id for event in events))


class OperationsController(Controller):
    """Probes and metrics."""

    tags = ("operations",)

    @get("/livez")
    async def livez(self) -> Alive:
        """The process turns; nothing else is asked."""
        return Alive()

    @get("/readyz", responses={})
    async def readyz(self, context: Context) -> Response[Readiness]:
        """Whether it can serve (200) or not (503), with the reasons."""
        readiness = context.health.readiness()
        status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(readiness, status_code=status, media_type=MediaType.JSON)

    @get("/metrics", media_type=MediaType.TEXT)
    async def metrics(self, context: Context) -> Response[bytes]:
        """Prometheus metrics of this process."""
        status, kind, body = context.metrics.render()
        return Response(body, status_code=status, media_type=kind)


async def json_body(request: AnyRequest) -> bytes:
    """The body's bytes, as sent.

    Raises
    ------
    HTTPException
        Another content type (415), or too large (413).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException("not JSON", status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    return await request.body()


async def _newest(context: ApiContext, user: str, surface: str) -> Recommendation:
    found = context.view.lists.newest(user, surface) or await context.stored(user, surface)
    if found is None:
        raise NotHereError("user", user, 'ask for a list first: POST /v1/requests {"user_id": …}')
    return found


def _why(context: ApiContext, newest: Recommendation, item: RecommendedItem) -> Why:
    return Why(
        user_id=newest.user_id,
        item_id=item.item_id,
        decision_id=newest.decision_id,
        trigger_id=newest.trigger_id,
        position=item.position,
        score=item.score,
        propensity=item.propensity,
        parts=item.parts,
        because=item.because,
        explored=item.explored,
        pinned=item.pinned,
        rung=newest.rung,
        model=newest.model,
        sentence=_sentence(context, item),
    )


def _sentence(context: ApiContext, item: RecommendedItem) -> str:
    if item.pinned:
        return f"pinned to place {item.position + 1} by a rule of the shop"
    greatest = sorted(item.parts.items(), key=lambda part: -abs(part[1]))[:3]
    words = ", ".join(f"{name} {value:+.2f}" for name, value in greatest if value)
    named = ", ".join(context.view.titles.of(b.item_id).text for b in item.because)
    because = f"; because of {named}" if named else ""
    how = "tried out" if item.explored else "chosen"
    return f"{words or 'nothing speaks for it'}{because}; {how} with probability {item.propensity:.2g}"
