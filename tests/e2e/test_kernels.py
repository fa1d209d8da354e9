"""Without compiled kernels the stream says so, and its event loop goes on turning while they are made."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.health import checks_of
from deploy.process import free_port
from deploy.supervisor import to_toml
from schemas.settings import HealthSettings
from tests.e2e.processes import started

UNUSED = {"models.components.neighbours.add"}
"""Called by tests alone."""

LIMIT = HealthSettings().max_loop_lag_seconds

pytestmark = [pytest.mark.embedded, pytest.mark.slow, pytest.mark.timeout(900)]


def test_kernels_are_compiled_before_anything_is_served(tmp_path: Path) -> None:
    """Not ready with the reason; the loop turns meanwhile; then ready, and the cache is filled."""
    port, cache = free_port(19300), tmp_path / "numba"
    with EmbeddedBroker() as broker:
        settings = {"kafka": broker.settings(), "api": {"metrics_port": port}}
        settings["learner"] = {"directory": str(tmp_path / "snapshots")}
        (tmp_path / "settings.toml").write_text(to_toml(settings))
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
        command = [
            sys.executable,
            "-m",
            "deploy.cli",
            "stream",
            "--settings",
            str(tmp_path / "settings.toml"),
        ]
        with started(command, cwd=Path(__file__).parents[2], env=environment) as stream:
            seen = follow(stream, port)
            late, stood = (late_turns(port, seconds) for seconds in (LIMIT, 10.0))
            stream.send_signal(signal.SIGTERM)
            _, said = stream.communicate(timeout=60)
    assert stream.returncode == 0, said
    assert "kernels compiled in" in said
    compiling = [checks for checks in seen if checks["kernels"] == "compiling kernels"]
    assert compiling
    assert {checks["partitions"] for checks in compiling} == {"starting"}
    # Compiling in the process would hold the loop up for every kernel anew; a machine that stalls, once.
    assert late <= 3, f"the loop turned {late} times later than {LIMIT} s"
    assert stood == 0, f"the loop stood {stood} times"
    script = f"import models.warm, deploy.kernels as k; print(sorted(set(k.cold()) - {UNUSED!r}))"
    command = [sys.executable, "-c", script]
    root = Path(__file__).parents[2]
    left = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert left.stdout == "[]\n", "models.warm does not reach these kernels"


def follow(stream: "subprocess.Popen[str]", port: int) -> list[dict[str, str]]:
    """All checks, again and again, until every one of them is ok."""
    seen = []
    while not seen or set(seen[-1].values()) != {"ok"}:
        assert stream.poll() is None, stream.stderr and stream.stderr.read()
        if checks := checks_of("127.0.0.1", port):
            seen.append(checks)
        time.sleep(0.5)
    return seen


def late_turns(port: int, seconds: float) -> int:
    """How often the loop has turned later than that."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()

    def lag(name: str) -> int:
        return int(float(text.split(f"\nstreamwise_loop_lag_seconds_{name} ")[1].split()[0]))

    return lag("count") - lag(f'bucket{{le="{seconds}"}}')
