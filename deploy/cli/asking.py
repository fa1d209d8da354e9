"""Questions to a running API, for whoever asks on the command line."""

from http import HTTPStatus
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import msgspec

from deploy.api.errors import ErrorBody
from schemas.errors import InvalidMessageError, UnavailableError
from schemas.settings import ApiSettings

T = TypeVar("T")
SECONDS = 30.0


def ask(api: ApiSettings, path: str, kind: type[T]) -> T:
    """The answer to ``GET path``.

    Raises
    ------
    InvalidMessageError
        The API says what is wrong with the question.
    UnavailableError
        It does not answer, or cannot yet.
    """
    address = f"http://{api.host}:{api.port}"
    try:
        with urlopen(address + path, timeout=SECONDS) as answer:  # noqa: S310  the scheme is ours
            return msgspec.json.decode(answer.read(), type=kind)
    except HTTPError as error:
        raise _refused(error, address) from error
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        remedy = "start 'streamwise api' there (api.host, api.port), or ask offline by --snapshot or --log"
        raise UnavailableError(f"api: {address}: {reason}: {remedy}") from error
    except msgspec.DecodeError as error:
        raise UnavailableError(f"api: {address}: {error}: is it Streamwise that listens there?") from error


def _refused(error: HTTPError, address: str) -> InvalidMessageError | UnavailableError:
    try:
        said = msgspec.json.decode(error.read(), type=ErrorBody).error
    except msgspec.DecodeError:
        return UnavailableError(f"api: {address}: {error}: is it Streamwise that listens there?")
    if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError(f"api: {address}: {said.value}: {said.remedy}")
    refused = InvalidMessageError(said.field, "", said.remedy)
    refused.value, refused.args = said.value, (f"{said.field}: {said.value}: {said.remedy}",)
    return refused
