"""Probes of a process: alive, ready with reasons, metrics."""

import json
import socket
import struct
import threading
import urllib.error
import urllib.request

import pytest

from deploy.health import Answer, Health, operations_server
from deploy.metrics import Metrics
from schemas.errors import UnavailableError


def get(port: int, path: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.headers["content-type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read()


def test_a_note_is_shown_and_keeps_the_process_ready() -> None:
    """What it serves without is named beside the checks; only a check says that it is not ready."""
    health = Health({"broker": lambda: None})
    health.note("redis", lambda: "Redis does not answer")
    assert health.readiness().ready
    assert health.readiness().checks == {"broker": "ok", "redis": "Redis does not answer"}
    health.add("partitions", lambda: "taken over")
    assert not health.readiness().ready


def test_operations_server_answers_probes() -> None:
    """Liveness does not ask the checks; readiness does, and turns with them."""
    state: dict[str, str | None] = {"why": "recovering: 3 of 4 partitions"}
    metrics = Metrics()
    metrics.encode.embedding_published()
    with operations_server("127.0.0.1", 0, Health({"state": lambda: state["why"]}), metrics.render) as port:
        assert get(port, "/livez")[0] == 200
        status, kind, body = get(port, "/readyz")
        assert (status, kind) == (503, "application/json")
        assert json.loads(body) == {"ready": False, "checks": {"state": "recovering: 3 of 4 partitions"}}
        state["why"] = None
        assert get(port, "/readyz?verbose")[0] == 200
        status, kind, body = get(port, "/metrics")
        assert kind.startswith("text/plain")
        assert b"streamwise_encode_embeddings_total 1.0" in body
        status, _, body = get(port, "/etc/passwd")
        assert status == 404
        assert json.loads(body)["error"]["field"] == "path"


def test_whoever_goes_away_before_the_answer_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    """A probe that gave up while the process was paused is no error of ours."""
    answering, gone = threading.Event(), threading.Event()

    def slow() -> Answer:
        answering.set()
        gone.wait(30)
        return 200, "text/plain", b"x" * (1 << 24)

    with operations_server("127.0.0.1", 0, Health({}), slow) as port:
        with socket.create_connection(("127.0.0.1", port)) as asker:
            asker.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert answering.wait(30)
            asker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.set()
        for thread in threading.enumerate():
            if "process_request" in thread.name:
                thread.join(30)
        assert get(port, "/livez")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_taken_port_is_named() -> None:
    """The error says which setting to change."""
    with (
        operations_server("127.0.0.1", 0, Health(), Metrics().render) as port,
        pytest.raises(UnavailableError, match=f"api.metrics_port: 127.0.0.1:{port}"),
        operations_server("127.0.0.1", port, Health(), Metrics().render),
    ):
        pass
