"""Routes of the live page."""

import asyncio
from http import HTTPStatus
from importlib.resources import files
from string import Template
from typing import Any
from urllib.parse import urlsplit

from litestar import Controller, MediaType, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Stream

from deploy.api.bodies import Postable, read_events
from deploy.api.context import ApiContext
from deploy.api.errors import DeadlineError, ForeignOriginError, NotHereError
from deploy.api.live import VISITOR
from deploy.api.page import fragments
from deploy.api.page.stream import Viewers
from schemas.errors import InvalidMessageError, UnavailableError
from schemas.events import Click, Purchase, encode_event
from schemas.events import Request as ListRequest

COOKIE = "visitor"
DAY_SECONDS = 86_400
MAX_QUERY = 200
ASSETS = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
AnyRequest = Request[Any, Any, Any]
Context = NamedDependency[ApiContext]
Pages = NamedDependency[Viewers]

_folder = files("deploy.api.page") / "assets"


class PageController(Controller):
    """The page, its stream, and what its visitors do."""

    include_in_schema = False

    @get("/", media_type=MediaType.HTML)
    async def page(
        self,
        request: AnyRequest,
        context: Context,
        viewers: Pages,
        q: FromQuery[str] = "",
    ) -> Response[str]:
        """The whole page, filled with what is known now."""
        you = visitor_of(request) or f"{VISITOR}{context.new_id()[:12]}"
        filled = viewers.fragments(you)
        html = _template().substitute(filled, shelf=shelf_of(context, q))
        cookie = Cookie(
            COOKIE,
            value=you,
            max_age=DAY_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return Response(html, media_type=MediaType.HTML, cookies=[cookie])

    @get("/live", media_type="text/event-stream")
    async def live(
        self,
        request: AnyRequest,
        context: Context,
        viewers: Pages,
        user: FromQuery[str] = "",
    ) -> Stream:
        """Fragments, each when it has changed."""
        if viewers.full:
            raise UnavailableError("too many pages are open")
        you = visitor_of(request) or f"{VISITOR}{context.new_id()[:12]}"
        if context.view.lists.newest(you) is None:
            viewers.background(ask_first(context, you))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return Stream(viewers.stream(you, user), media_type="text/event-stream", headers=headers)

    @get("/products", media_type=MediaType.HTML)
    async def products(self, context: Context, q: FromQuery[str] = "") -> str:
        """Products that match a search."""
        return shelf_of(context, q)

    @post("/act")
    async def act(self, request: AnyRequest, context: Context) -> Response[None]:
        """A visitor opened or bought something."""
        refuse_foreign(request)
        you = visitor_of(request)
        if not you:
            raise InvalidMessageError("cookie", "(missing)", "open the page first; it makes you a visitor")
        form = await request.form()
        await context.gateway.write([deed(context, you, dict(form))])
        if request.headers.get("sec-fetch-mode") == "navigate":  # a browser without the script
            return Redirect("/", status_code=303)
        return Response(None, status_code=HTTPStatus.NO_CONTENT)

    @get("/assets/{name:str}")
    async def asset(self, name: FromPath[str]) -> Response[bytes]:
        """The page's own style and script."""
        if name not in ASSETS:
            raise NotHereError("path", f"/assets/{name}", f"one of {', '.join(ASSETS)}")
        return Response(
            (_folder / name).read_bytes(), media_type=ASSETS[name], headers={"cache-control": "no-cache"}
        )


def visitor_of(request: AnyRequest) -> str:
    """The visitor's user id, from the cookie that we set; empty if there is none (or another's)."""
    found = request.cookies.get(COOKIE, "")
    return found if found.startswith(VISITOR) and found.removeprefix(VISITOR).isalnum() else ""


def refuse_foreign(request: AnyRequest) -> None:
    """Another site's page may not act for our visitor.

    Raises
    ------
    ForeignOriginError
        The browser names another origin.
    """
    origin = request.headers.get("origin", "")
    if origin and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise ForeignOriginError("origin", origin, "act from this service's own page")


def deed(context: ApiContext, you: str, form: dict[str, Any]) -> Postable:
    """The canonical event of a form; checked like any other body.

    Raises
    ------
    InvalidMessageError
        Names field, value and remedy.
    """
    kinds: dict[str, type[Click | Purchase]] = {"click": Click, "purchase": Purchase}
    kind = form.get("kind")
    if kind not in kinds:
        raise InvalidMessageError("kind", kind, "send click or purchase")
    position = str(form.get("position") or "")
    if position and not position.isdecimal():
        raise InvalidMessageError("position", position, "send the item's 0-based place, or leave it out")
    event = kinds[str(kind)](
        event_id=f"{kind}-{context.new_id()[:12]}",
        user_id=you,
        ts=context.clock(),
        item_id=str(form.get("item_id", "")),
        decision_id=str(form["decision_id"]) if form.get("decision_id") else None,
        position=int(position) if position else None,
    )
    return read_events(encode_event(event), context.clock(), context.settings.intake)[0]


async def ask_first(context: ApiContext, you: str) -> None:
    """A visitor's first list; when none comes, the page goes on saying that it waits."""
    identifier = f"request-{context.new_id()[:12]}"
    request = ListRequest(
        event_id=identifier,
        request_id=identifier,
        user_id=you,
        ts=context.clock(),
        k=context.settings.lists.k,
    )
    try:
        await context.gateway.ask(request, 10_000)
    except (DeadlineError, UnavailableError):  # /readyz says why
        await asyncio.sleep(0)


def shelf_of(context: ApiContext, query: str) -> str:
    """The search's fragment."""
    asked = query.strip()[:MAX_QUERY]
    return fragments.shelf(context.view.titles.search(asked) if asked else [], asked)


def _template() -> Template:
    return Template((_folder / "page.html").read_text("utf-8"))
