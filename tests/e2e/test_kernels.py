"""Without compiled kernels the stream says so, and its event loop goes on turning while they are made."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.health import checks_of
from deploy.process import free_port
from deploy.supervisor import to_toml
from schemas.settings import HealthSettings

UNUSED = {"models.components.neighbours.add"}
"""Called by tests alone."""

pytestmark = [pytest.mark.embedded, pytest.mark.slow, pytest.mark.timeout(900)]


def test_kernels_are_compiled_before_anything_is_served(tmp_path: Path) -> None:
    """Not ready with the reason; no turn later than the limit; then ready, and the cache is filled."""
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
        with subprocess.Popen(
            command, cwd=Path(__file__).parents[2], env=environment, stderr=subprocess.PIPE, text=True
        ) as stream:
            seen = follow(stream, port)
            stream.send_signal(signal.SIGTERM)
            _, said = stream.communicate(timeout=60)
    assert stream.returncode == 0, said
    assert "kernels compiled in" in said
    compiling = [checks for checks in seen if checks["kernels"] == "compiling kernels"]
    assert compiling
    assert {checks["partitions"] for checks in compiling} == {"starting"}
    late = {checks.get("event-loop", "ok") for checks in seen} - {"ok"}
    assert not late, f"limit {HealthSettings().max_loop_lag_seconds} s: {late}"
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
