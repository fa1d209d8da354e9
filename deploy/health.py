"""Is the process alive, and is it ready?  Answers with reasons, for probes and for people."""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from schemas.errors import UnavailableError
from schemas.settings import ApiSettings

Check = Callable[[], str | None]
"""Returns None when all is well, else the reason why not, in plain words."""

Answer = tuple[int, str, bytes]
"""Status, content type and body."""

JSON = "application/json"


class Readiness(msgspec.Struct, frozen=True):
    """The body of ``/readyz``: each check, and each note, with ``"ok"`` or the reason why not."""

    ready: bool
    checks: dict[str, str]


class Health:
    """Named checks of one process.

    Parameters
    ----------
    checks
        Each is called at every ``/readyz`` and must be quick.

    Examples
    --------
    >>> Health({"broker": lambda: None, "view": lambda: "3,000 records behind"}).readiness()
    Readiness(ready=False, checks={'broker': 'ok', 'view': '3,000 records behind'})
    """

    def __init__(self, checks: Mapping[str, Check] | None = None) -> None:
        self._checks = dict(checks or {})
        self._notes: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """One more check."""
        self._checks[name] = check

    def note(self, name: str, check: Check) -> None:
        """What the process serves without, if it must: shown like a check, and no reason not to be ready."""
        self._notes[name] = check

    def readiness(self) -> Readiness:
        """Every check's answer; ready when all are well."""
        # A copy: checks are added while probes are answered on another thread.
        reasons = {name: check() for name, check in list(self._checks.items())}
        shown = reasons | {name: note() for name, note in list(self._notes.items())}
        return Readiness(
            ready=not any(reasons.values()), checks={name: why or "ok" for name, why in shown.items()}
        )


def operations(
    api: ApiSettings, health: Health, metrics: Callable[[], Answer]
) -> AbstractContextManager[object]:
    """``operations_server`` where ``api.metrics_port`` says; nothing when that is 0."""
    if not api.metrics_port:
        return nullcontext()
    return operations_server(api.host, api.metrics_port, health, metrics)


@contextmanager
def operations_server(host: str, port: int, health: Health, metrics: Callable[[], Answer]) -> Iterator[int]:
    """``/livez``, ``/readyz`` and ``/metrics`` of a process that serves no other HTTP, on its own thread.

    Parameters
    ----------
    port
        0 takes a free one.
    metrics
        Renders the process's metrics.

    Yields
    ------
    int
        The port.

    Raises
    ------
    UnavailableError
        The port is taken.
    """
    routes: dict[str, Callable[[], Answer]] = {
        "/livez": lambda: (200, JSON, b'{"alive":true}'),
        "/readyz": lambda: _ready(health),
        "/metrics": metrics,
    }
    try:
        server = _Server((host, port), _handler(routes))
    except OSError as error:
        raise UnavailableError(
            f"api.metrics_port: {host}:{port}: {error.strerror}: choose another port"
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="operations", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def checks_of(host: str, port: int) -> dict[str, str]:
    """The checks that another process's ``/readyz`` shows; none while it does not answer."""
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return msgspec.json.decode(connection.getresponse().read(), type=Readiness).checks
    except (OSError, HTTPException, msgspec.DecodeError):  # not up yet, or somebody else's port
        return {}
    finally:
        connection.close()


def _ready(health: Health) -> Answer:
    readiness = health.readiness()
    return (200 if readiness.ready else 503), JSON, msgspec.json.encode(readiness)


class _Server(ThreadingHTTPServer):
    """Says nothing of those who go away before they have their answer."""

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _handler(routes: Mapping[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    missing = {"error": {"field": "path", "value": "", "remedy": f"one of {', '.join(routes)}"}}

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0])
            status, kind, body = route() if route else (404, JSON, json.dumps(missing).encode())
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Probes come every few seconds: they are not news."""

    return Handler
