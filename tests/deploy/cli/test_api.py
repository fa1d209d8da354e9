"""``streamwise api`` as a command: says where it is, ends when asked, and explains what it cannot do."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from deploy.cli.main import BAD_INPUT, FAILED, run
from tests.e2e.processes import started

COMMAND = [sys.executable, "-m", "deploy.cli", "api"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_serves_until_asked_to_end(name: str) -> None:
    """It answers before any broker does, and a signal ends it with exit code 0."""
    command = [*COMMAND, "--port", "0", "--json"]
    with started(command) as process:
        assert process.stdout is not None
        url = json.loads("".join(process.stdout.readline() for _ in range(3)))["url"]
        with urllib.request.urlopen(f"{url}livez", timeout=30) as answer:
            assert json.load(answer) == {"alive": True}
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def test_a_taken_port() -> None:
    """Field, value and remedy; exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == FAILED
    assert f"error: api.port: 127.0.0.1:{port}: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--port", "99999"], ["--port", "web"], ["--prot", "80"], ["now"]])
def test_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong options and values are usage errors: exit code 2, no traceback."""
    assert run(["api", *arguments]) == BAD_INPUT
    assert capsys.readouterr().err.startswith("error: ")
