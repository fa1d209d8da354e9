"""What a process says of itself, and what the kernel says of it."""

from http.client import HTTPConnection, HTTPException
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from deploy.health import checks_of
from schemas.settings import Settings


def says(settings: Settings, check: str) -> str:
    """What ``/readyz`` says of a check; empty while nobody answers there."""
    return checks_of(settings.api.host, settings.api.metrics_port).get(check, "")


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a page; status 0 while nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def metrics(port: int) -> dict[str, float]:
    """Every sample of ``/metrics`` without ``streamwise_``, those of one name added up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(port, "/metrics")[1].decode()):
        for sample in family.samples:
            name = sample.name.removeprefix("streamwise_")
            found[name] = found.get(name, 0.0) + sample.value
    return found


def shed(port: int, reason: str) -> float:
    """How many triggers got no list for this reason."""
    for family in text_string_to_metric_families(get(port, "/metrics")[1].decode()):
        for sample in family.samples:
            if sample.name == "streamwise_shed_triggers_total" and sample.labels["reason"] == reason:
                return float(sample.value)
    return 0.0


def resident(pid: int) -> int:
    """Bytes of memory that a process holds itself (without files that it has mapped)."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise ValueError(f"/proc/{pid}/status: no RssAnon line")


def descriptors(pid: int) -> int:
    """Open files and sockets of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """Threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
