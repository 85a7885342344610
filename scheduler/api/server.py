"""Serves the application on its sockets: TCP on loopback and the CLI's Unix socket, with limits and time limits."""

import asyncio
import socket
from typing import Final

from aiohttp import web

from scheduler.api.listen import open_tcp, open_unix, remove_unix
from scheduler.api.protocol import protocol_factory
from scheduler.config import Settings, check_listening

# The CLI gets in while a flood holds every other connection.
_UNIX_EXTRA_CONNECTIONS: Final = 32
# How long what is left of a refused body is read and thrown away, so that the client can read the refusal.
_LINGER_SECONDS: Final = 1.0
_SHUTDOWN_SECONDS: Final = 5.0


class Server:
    """The listening application; `start` and `stop` it once each."""

    def __init__(self, app: web.Application, settings: Settings) -> None:
        self._settings = settings
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._listeners: list[asyncio.Server] = []
        self._tcp: list[socket.socket] = []
        self._local: list[socket.socket] = []
        self.port = settings.port
        """The TCP port, known after the start when the settings say 0."""
        self.urls: tuple[str, ...] = ()
        """What a client may put in front of /api."""

    def listen(self) -> None:
        """Take the addresses; who connects waits until `start`.

        Raises ConfigError for an unsafe address, ListenError for one that is not to be had.
        """
        check_listening(self._settings)
        self._tcp = open_tcp(self._settings.host, self._settings.port)
        try:
            self._local = [open_unix(self._settings.state_dir)]
        except BaseException:
            self.close_sockets()
            raise
        self.port = self._tcp[0].getsockname()[1]
        self.urls = tuple(_url(sock) for sock in self._tcp)

    async def start(self) -> None:
        """Answer; listens first if that has not been done."""
        if not self._tcp:
            self.listen()
        await self._runner.setup()
        await self._serve(self._tcp, self._settings.max_connections)
        await self._serve(self._local, self._settings.max_connections + _UNIX_EXTRA_CONNECTIONS)

    async def stop(self) -> None:
        """Close the sockets, end the streams, let other answers finish for up to 5 s, then cut them off."""
        for listener in self._listeners:
            listener.close()
        await self._runner.cleanup()
        self.close_sockets()

    def close_sockets(self) -> None:
        """Give the addresses back."""
        for sock in (*self._tcp, *self._local):
            sock.close()
        if self._local:
            remove_unix(self._settings.state_dir)
        self._tcp, self._local = [], []

    async def _serve(self, sockets: list[socket.socket], max_connections: int) -> None:
        server = self._runner.server
        assert server is not None
        factory = protocol_factory(
            server,
            max_connections=max_connections,
            access_log=None,
            keepalive_timeout=self._settings.idle_timeout_seconds,
            lingering_time=_LINGER_SECONDS,
            auto_decompress=False,
        )
        for sock in sockets:
            self._listeners.append(await asyncio.get_running_loop().create_server(factory, sock=sock))


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if sock.family == socket.AF_INET6 else f"http://{host}:{port}"
