"""A real Kafka that can be broken: brokers that die, stand still and come back, each behind a proxy."""

import contextlib
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

from schemas.settings import KafkaSettings
from streams.kafka import admin, insist
from tests.conftest import free_port
from tests.faults.proxy import Proxy

PROTOCOLS = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"

AGAIN_SECONDS = 2.0
"""Before brokers are started once more: until then a child has become what the script looks for."""

Partition = tuple[str, int]


class Led(NamedTuple):
    """Who leads a partition, and who follows: the leader it prefers is the first of its replicas."""

    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


async def led(kafka: KafkaSettings) -> dict[Partition, Led]:
    """Every partition of every topic."""
    async with admin(kafka) as client:
        topics = await insist(client.describe_topics)
    return {
        (topic["topic"], p["partition"]): Led(p["leader"], (*p["replicas"],), (*p["isr"],))
        for topic in topics
        for p in topic["partitions"]
    }


class Cluster:
    """Brokers of one directory; what clients reach through ``bootstrap`` is direct, through ``proxied`` not.

    Parameters
    ----------
    home
        Of the script ``kafka``.
    port
        The first broker's; its neighbours and those 100 further must be free.
    """

    def __init__(self, home: Path, directory: Path, port: int, *, brokers: int) -> None:
        self.directory = directory
        self.numbers = range(1, brokers + 1)
        self.bootstrap = ",".join(f"127.0.0.1:{port + n - 1}" for n in self.numbers)
        self._script = str(home / "kafka")
        self._port = port
        self._behind = {n: free_port() for n in self.numbers}
        self.proxies = {n: Proxy(behind) for n, behind in self._behind.items()}

    @property
    def proxied(self) -> str:
        """Bootstrap list of the proxies: brokers advertise these to whoever comes through them."""
        return ",".join(f"127.0.0.1:{p.port}" for p in self.proxies.values())

    def __enter__(self) -> Self:
        size = ["--brokers", str(len(self.numbers)), "--port", str(self._port)]
        protocols = ["--set", f"listener.security.protocol.map={PROTOCOLS}"]
        self.launch("start", *size, *protocols)
        for proxy in self.proxies.values():
            proxy.start()
        for n in self.numbers:
            self.kill(n)
            self._add_listener(n)
        self.restart_all()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self.proxies.values():
            proxy.stop()
        with contextlib.suppress(subprocess.CalledProcessError):
            self.call("stop", "--wipe")

    def _add_listener(self, n: int) -> None:
        file = self.home(n) / "server.properties"
        lines = file.read_text("utf-8").splitlines()
        more = {"listeners=": self._behind[n], "advertised.listeners=": self.proxies[n].port}
        for i, line in enumerate(lines):
            for key, port in more.items():
                if line.startswith(key):
                    lines[i] = f"{line},PROXIED://127.0.0.1:{port}"
        file.write_text("\n".join([*lines, "inter.broker.listener.name=PLAINTEXT", ""]), "utf-8")

    def home(self, n: int) -> Path:
        """Directory of a broker."""
        return self.directory / f"broker-{n}"

    def call(self, *arguments: str) -> str:
        """Run the script."""
        command = [self._script, *arguments[:1], "--dir", str(self.directory), *arguments[1:]]
        patient = {"KAFKA_START_TIMEOUT": "170", **os.environ}
        return subprocess.run(
            command, check=True, capture_output=True, timeout=180, text=True, env=patient
        ).stdout

    def launch(self, *arguments: str) -> None:
        """Let the script start brokers; where it says that one has exited, once more."""
        try:
            self.call(*arguments)
        except subprocess.CalledProcessError:
            # it knows a broker by the command line of its child: on a busy machine it may look before the
            # child has become the broker, and takes it for gone
            time.sleep(AGAIN_SECONDS)
            self.call(*arguments)

    def kill(self, n: int) -> None:
        """SIGKILL one."""
        self.call("kill", str(n))

    def pause(self, n: int) -> None:
        """SIGSTOP one."""
        self.call("pause", str(n))

    def resume(self, n: int) -> None:
        """SIGCONT it."""
        self.call("resume", str(n))

    def restart(self, n: int) -> None:
        """Start one again (SIGTERM first where it runs), and wait until it serves."""
        self.launch("restart", str(n))

    def restart_all(self) -> None:
        """All at once."""
        with ThreadPoolExecutor(len(self.numbers)) as pool:
            list(pool.map(self.restart, self.numbers))

    def prefer_leaders(self) -> None:
        """Give every partition back to its preferred leader."""
        tool = "org.apache.kafka.tools.LeaderElectionCommand"
        how = ["--bootstrap-server", "{}", "--election-type", "preferred", "--all-topic-partitions"]
        self.call("run", tool, *how)
