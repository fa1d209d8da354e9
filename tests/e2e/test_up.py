"""``streamwise up`` and ``replay``: one's own log becomes lists, with no server installed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.embedded.compat import install
from deploy.process import free_port
from streams.kafka import connect
from tests.e2e.processes import left_after, started

pytestmark = [pytest.mark.embedded, pytest.mark.slow, pytest.mark.timeout(420)]

RUN = [sys.executable, "-m", "deploy.cli"]
ROOT = Path(__file__).parents[2]
READY_SECONDS = 150.0


def write_log(path: Path, people: int, each: int) -> None:
    """A log of the last minute: people who click through a small shop."""
    now = int(time.time_ns() // 1_000_000_000) - 30
    rows = [f"u{p},i{(p + step) % 17},{now + step}" for step in range(each) for p in range(people)]
    path.write_text("\n".join(["user,item,t", *rows, ""]))


def ready(up: "subprocess.Popen[str]", log: Path) -> None:
    """Wait for the stream: pushes of events that came long before it are shed."""
    deadline = time.monotonic() + READY_SECONDS
    while "stream ready" not in (said := log.read_text() if log.exists() else ""):
        assert up.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


async def lists_for(bootstrap: str, people: int) -> set[str]:
    """Read ``recommendations`` until everybody has a list."""
    install()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=20)
    await connect(consumer)
    places = [TopicPartition("recommendations", p) for p in range(4)]
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    served: set[str] = set()
    try:
        while len(served) < people:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                served |= {json.loads(r.value)["user_id"] for r in records if r.value is not None}
    finally:
        await consumer.stop()
    return served


@pytest.mark.parametrize("learner", ["inline", "shared"])
def test_a_replayed_log_becomes_lists(tmp_path: Path, learner: str) -> None:
    """Everybody in the log gets a list, whoever learns; Ctrl-C ends every role with exit code 0."""
    port, page = free_port(19250), free_port(19260)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "STREAMWISE_API__PORT": str(page),
        # Nobody asks for these lists: a machine that is held up must not count as overload, which sheds them.
        "STREAMWISE_LISTS__DEADLINE_MS": "60000",
    }
    command = [*RUN, "up", "--broker-port", str(port), "--dir", "run", "--learner", learner]
    with started(command, cwd=tmp_path, env=environment) as up:
        assert up.stderr is not None
        assert f"127.0.0.1:{port}" in up.stderr.readline()
        for line in up.stderr:
            if line.startswith("live page"):
                break
        ready(up, tmp_path / "run" / "stream.log")
        write_log(tmp_path / "log.csv", people=20, each=5)
        replay = [*RUN, "replay", "log.csv", "--settings", "run/settings.toml", "--json"]
        sent = subprocess.run(replay, cwd=tmp_path, env=environment, check=True, capture_output=True)
        assert json.loads(sent.stdout)["sent"]["rows"] == 100
        served = asyncio.run(lists_for(f"127.0.0.1:{port}", 20))
        assert served == {f"u{p}" for p in range(20)}
        assert (tmp_path / "run" / "learn.log").exists() is (learner == "shared")
        up.send_signal(signal.SIGINT)
        _, said = up.communicate(timeout=60)
    assert up.returncode == 0, said
    assert left_after(tmp_path, 5.0) == []
