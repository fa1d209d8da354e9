"""Errors as HTTP answers: every body names the field, the value and the remedy.

``{"error": {"field": "$.ts", "value": "'soon'", "remedy": "Expected `int`, got `str`"}}``
"""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from schemas.errors import InvalidMessageError, OversizedMessageError, UnavailableError, shorten
from schemas.events import MAX_MESSAGE_BYTES


class ErrorDetail(msgspec.Struct, frozen=True):
    """What was wrong, where, and what to do instead."""

    field: str
    value: str
    remedy: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class NotHereError(InvalidMessageError):
    """What was asked for is not there (404)."""


class ForeignOriginError(InvalidMessageError):
    """A page of another site tried to act for its visitor (403)."""


class DeadlineError(InvalidMessageError):
    """No answer came in time (504)."""


STATUS: dict[type[Exception], int] = {
    InvalidMessageError: HTTPStatus.BAD_REQUEST,
    OversizedMessageError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NotHereError: HTTPStatus.NOT_FOUND,
    ForeignOriginError: HTTPStatus.FORBIDDEN,
    DeadlineError: HTTPStatus.GATEWAY_TIMEOUT,
}

REMEDIES: dict[int, tuple[str, str]] = {
    400: ("request", "correct the request; /openapi.json describes every route"),
    404: ("path", "see /openapi.json for the routes there are"),
    405: ("method", "see /openapi.json for the methods of this route"),
    413: ("$", f"send at most {MAX_MESSAGE_BYTES} bytes"),
    415: ("content-type", "send application/json"),
}


def answer(status: int, field: str, value: str, remedy: str) -> Response[ErrorBody]:
    """An error answer."""
    return Response(
        ErrorBody(ErrorDetail(field, value, remedy)), status_code=status, media_type=MediaType.JSON
    )


def on_invalid(_: Request[Any, Any, Any], error: InvalidMessageError) -> Response[ErrorBody]:
    """Our own errors know what to say."""
    return answer(STATUS.get(type(error), HTTPStatus.BAD_REQUEST), error.field, error.value, error.remedy)


def on_unavailable(_: Request[Any, Any, Any], error: UnavailableError) -> Response[ErrorBody]:
    """A dependency does not answer (503)."""
    return answer(HTTPStatus.SERVICE_UNAVAILABLE, "service", shorten(str(error)), "try again; see /readyz")


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorBody]:
    """The framework's errors, in the same form."""
    field, remedy = REMEDIES.get(error.status_code, ("request", error.detail))
    value = {"path": request.url.path, "method": request.method}.get(field)
    if field == "content-type":
        value = request.headers.get("content-type", "(missing)")
    if extra := _parameter(request, error):
        field, value, remedy = extra
    return answer(error.status_code, field, shorten(value or error.detail), remedy)


def on_failure(_: Request[Any, Any, Any], error: Exception) -> Response[ErrorBody]:
    """A defect of ours: the log has the traceback, the caller has not."""
    return answer(
        HTTPStatus.INTERNAL_SERVER_ERROR, "service", type(error).__name__, "report it with the time of day"
    )


def _parameter(request: Request[Any, Any, Any], error: HTTPException) -> tuple[str, str, str] | None:
    """Name, value and remedy where a path or query parameter was at fault."""
    if isinstance(error.extra, list) and error.extra and isinstance(error.extra[0], dict):
        first = error.extra[0]
        key = str(first.get("key", "request"))
        value = request.query_params.get(key, request.path_params.get(key, "(missing)"))
        return key, str(value), str(first.get("message", ""))
    return None
