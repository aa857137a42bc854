"""What a listener accepts connections from."""

from __future__ import annotations

import socket
from typing import Any
from weakref import WeakSet

from tocsin_schemas.errors import ConfigurationError


class CrowdSocket(socket.socket):
    """Takes the place of ``listening``, and lets at most ``most`` connections be open at a time;
    more are closed at once.

    HTTP counts connections when they are made, which with TLS is after the handshake; whoever never
    begins one would take all the descriptors that this process has.
    """

    def __init__(self, listening: socket.socket, most: int) -> None:
        family, kind, protocol = listening.family, listening.type, listening.proto
        super().__init__(family, kind, protocol, fileno=listening.detach())
        self._most = most
        self._accepted: WeakSet[socket.socket] = WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """From asyncio.

        Raises:
            ConnectionAbortedError: there are too many. asyncio goes on with the next one then.
        """
        connection, address = super().accept()
        if len(self._accepted) >= self._most:
            self._accepted = WeakSet(one for one in self._accepted if one.fileno() != -1)
        if len(self._accepted) >= self._most:
            connection.close()
            raise ConnectionAbortedError
        self._accepted.add(connection)
        return connection, address


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that names its protocol: without it, asyncio leaves Nagle's algorithm on, and every
    answer of two writes waits 40 ms for the client's delayed acknowledgement.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1024)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            "port_in_use", f"cannot listen on {host}:{port}: {error.strerror}"
        ) from None
    return listening
