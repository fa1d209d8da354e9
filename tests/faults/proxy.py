"""A TCP proxy that delays, swallows or resets what goes through it."""

import asyncio
import contextlib
import socket
import struct
import threading

from tests.conftest import free_port

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends a reset."""


def bound() -> socket.socket:
    """A socket on a port that is ours from now on: one that is only found may be somebody else's later."""
    while True:
        made = socket.socket()
        try:
            made.bind(("127.0.0.1", free_port()))
        except OSError:  # somebody was faster
            made.close()
        else:
            return made


class Proxy:
    """Forwards a port of its own to another one, on a thread of its own.

    Attributes
    ----------
    delay
        Seconds by which every chunk is late, in each direction.
    """

    def __init__(self, target: int) -> None:
        self._socket = bound()
        self.port = int(self._socket.getsockname()[1])
        self.delay = 0.0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._serve, name=f"proxy-{self.port}", daemon=True)
        self._up = threading.Event()

    def start(self) -> None:
        """Return when it listens."""
        self._thread.start()
        self._up.wait()

    def stop(self) -> None:
        """End it and every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def swallow(self) -> None:
        """From now on nothing comes through, in either direction; connections stay open."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        """Let everything through again, and at once."""
        self.delay = 0.0
        self._loop.call_soon_threadsafe(self._open.set)

    def reset(self) -> None:
        """Break every connection with a reset; new ones are taken."""
        self._loop.call_soon_threadsafe(self._reset)

    def _reset(self) -> None:
        for writer in list(self._writers):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._open.set()
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, sock=self._socket))
        self._up.set()
        self._loop.run_forever()
        server.close()
        self._reset()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= pair
            for end in pair:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward until the end; late chunks keep their order, and delay nobody's reading."""
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sender = asyncio.ensure_future(self._send(late, writer))
        with contextlib.suppress(OSError):
            while chunk := await reader.read(1 << 16):
                late.put_nowait((self._loop.time() + self.delay, chunk))
        late.put_nowait((0.0, b""))
        await sender
        writer.close()

    async def _send(self, late: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, chunk = await late.get()
                if not chunk:
                    return
                await asyncio.sleep(due - self._loop.time())
                await self._open.wait()
                writer.write(chunk)
                await writer.drain()
