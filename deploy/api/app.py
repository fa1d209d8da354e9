"""The Litestar application: routes, errors, headers and metrics around one context."""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from deploy.api import errors, openapi
from deploy.api.context import ApiContext
from deploy.api.observer import ApiObserver
from deploy.api.page.routes import PageController
from deploy.api.page.stream import Viewers
from deploy.api.routes import EventController, ItemController, ListController, OperationsController
from deploy.api.security import add_headers
from schemas.errors import InvalidMessageError, UnavailableError
from schemas.events import MAX_MESSAGE_BYTES


def create_api(context: ApiContext) -> Litestar:
    """The application; its context's reader and gateway are run by whoever serves it."""
    viewers = Viewers(context)
    return Litestar(
        route_handlers=[
            ListController,
            ItemController,
            EventController,
            OperationsController,
            PageController,
        ],
        dependencies={"context": _constant(context), "viewers": _constant(viewers)},
        exception_handlers={
            InvalidMessageError: errors.on_invalid,
            UnavailableError: errors.on_unavailable,
            HTTPException: errors.on_http,
            Exception: errors.on_failure,
        },
        before_send=[add_headers],
        middleware=[_measured(context.view.observer)],
        on_shutdown=[viewers.close],
        openapi_config=openapi.config(version("streamwise")),
        request_max_body_size=MAX_MESSAGE_BYTES,
    )


def _constant(value: Any) -> Provide:
    """A dependency that is the same object for every request."""

    async def provide() -> Any:
        return value

    return Provide(provide)


def _measured(observer: ApiObserver) -> Callable[[ASGIApp], ASGIApp]:
    """Middleware that reports route template, status and time of every answer but the endless ones."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def measured(scope: Scope, receive: Receive, send: Send) -> None:
            began = time.perf_counter()

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    seconds = time.perf_counter() - began
                    observer.on_response(scope.get("path_template") or "unknown", message["status"], seconds)
                await send(message)

            await app(scope, receive, noting if scope["type"] == ScopeType.HTTP else send)

        return measured

    return wrap
