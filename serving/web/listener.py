"""Listens for HTTP with uvicorn: bounds on connections, no patience with half requests, an end in peace."""

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

_CONNECTIONS, _QUEUED = 256, 64
_IDLE_SECONDS, _GRACE_SECONDS = 10, 20
_HEADER_SECONDS, _HEADER_BYTES = 15.0, 16 * 1024


class ImpatientProtocol(H11Protocol):
    """Closes connections on which no request's head is whole in time: half-open ones would take all places."""

    patience = _HEADER_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._waiting: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiting is None and self._idle():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.patience, self._give_up)

    def _give_up(self) -> None:
        self._waiting = None
        if self._idle():
            self.transport.close()

    def _idle(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete


def serve(
    app: Starlette,
    host: str,
    port: int,
    key_file: str | None,
    certificate_file: str | None,
    announce: Callable[[str], None],
) -> None:
    """Serves until SIGINT or SIGTERM; OSError where the address or a file cannot be used.

    Args:
      app: what is served.
      host, port: where to listen; port 0 is any free one.
      key_file, certificate_file: PEM files for TLS; None for plain text.
      announce: is told the address, once connections are taken.
    """
    server = make_server(app, key_file, certificate_file)

    def stop(*_: object) -> None:
        server.should_exit = True

    # While it serves, uvicorn has its own; once it has ended, it raises the signal again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with bound(host, port) as listening:
        name = f"[{host}]" if ":" in host else host
        announce(f"{'https' if key_file else 'http'}://{name}:{listening.getsockname()[1]}")
        server.run([listening])


def make_server(
    app: Starlette,
    key_file: str | None = None,
    certificate_file: str | None = None,
    client_ca_file: str | None = None,
) -> uvicorn.Server:
    """What serves; see `serve`. With `client_ca_file`, clients must show a certificate that it signed."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,  # Its own would close what others log to.
        log_level="warning",
        server_header=False,
        # Addresses are those of connections: what a client says of itself in headers is not believed.
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        backlog=_QUEUED,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        http=ImpatientProtocol,
        ws="none",
        ssl_keyfile=key_file,
        ssl_certfile=certificate_file,
        ssl_ca_certs=client_ca_file,
        ssl_cert_reqs=ssl.CERT_REQUIRED if client_ca_file else ssl.CERT_NONE,
    )
    config.load()
    return uvicorn.Server(config)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that who is told of it can connect; OSError where there is none."""
    if not 0 <= port < 2**16:  # getaddrinfo would take what is left of it after division.
        raise OSError(f"{port} is no port: these go from 0 to 65535")
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_QUEUED)
    except OSError:
        listening.close()
        raise
    return listening
