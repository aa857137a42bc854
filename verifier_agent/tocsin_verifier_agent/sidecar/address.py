"""Where the sidecar listens: a Unix socket, or TCP on loopback.

Whoever may write to a socket's folder can put a socket of his own there, and would be believed. So
nobody else may write to it: no group, and not in `/tmp` either, where the sticky bit comes too
late. Those who may connect need no more than to enter it.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tocsin_schemas.errors import ConfigurationError

SOCKET_NAME: Final = "run/tocsin.sock"
SOCKET_MODES: Final = (0o600, 0o660)
_BACKLOG: Final = 1024
_MAX_PATH_BYTES: Final = 107  # sun_path of Linux, without its NUL
_PROBE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket file; with mode 660 its group may connect as well."""

    path: Path
    mode: int = 0o660

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and a port; 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


Address = UnixAddress | TcpAddress


def parse_listen(text: str, *, anywhere: bool = False) -> TcpAddress:
    """``127.0.0.1:9191`` or ``[::1]:9191``.

    Raises:
        ConfigurationError: ``listen_malformed``, or ``listen_exposed`` for an address that is not
            loopback, unless ``anywhere`` says that it is meant.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigurationError("listen_malformed", f"{text}: not an address and a port")
    if not anywhere and not _is_loopback(host):
        raise ConfigurationError("listen_exposed", f"{text}: not loopback; others could listen in")
    return TcpAddress(host, int(port))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_own_folder(path: Path) -> None:
    """Refuse to listen where others could put another socket in this one's place.

    Raises:
        ConfigurationError: ``socket_folder``.
    """
    try:
        owner = _sole_writer(path.parent)
    except OSError:
        raise ConfigurationError("socket_folder", f"{path.parent}: no such folder") from None
    if owner not in (0, os.geteuid()):
        raise _belongs_to_another(path.parent)


def check_folder(path: Path) -> None:
    """Refuse to ask where others could have put a socket of theirs.

    The sidecar may have a user of its own, whose folder it is, where root alone can have made it so
    (as in `/run`).

    Raises:
        ConfigurationError: ``socket_folder``.
        OSError: there is no such folder.
    """
    folder = path.parent
    if _sole_writer(folder) not in (0, os.geteuid()) and _sole_writer(folder.resolve().parent) != 0:
        raise _belongs_to_another(folder)


def _sole_writer(folder: Path) -> int:
    """The user who owns a folder that nobody else may write to, root aside."""
    found = folder.stat()
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError("socket_folder", f"{folder}: others may write to it")
    return found.st_uid


def _belongs_to_another(folder: Path) -> ConfigurationError:
    return ConfigurationError("socket_folder", f"{folder}: it belongs to another user")


class BoundSocket:
    """A listening socket; a socket file goes with it."""

    def __init__(self, address: Address) -> None:
        """Listen.

        Raises:
            ConfigurationError: ``socket_folder``, ``socket_path``, ``socket_in_use``,
                ``port_in_use``.
        """
        self._file: tuple[Path, int] | None = None
        if isinstance(address, UnixAddress):
            self.socket = _listen_unix(address)
            self._file = address.path, address.path.stat().st_ino
            self.address: Address = address
        else:
            self.socket = _listen_tcp(address)
            self.address = TcpAddress(address.host, self.socket.getsockname()[1])

    def close(self) -> None:
        """Stop listening; remove the socket file, unless another sidecar's stands there by now."""
        self.socket.close()
        if self._file is not None:
            path, inode = self._file
            try:
                if path.stat().st_ino == inode:
                    path.unlink()
            except OSError:
                pass  # somebody has removed it


def _listen_unix(address: UnixAddress) -> socket.socket:
    path = address.path
    if address.mode not in SOCKET_MODES:
        raise ConfigurationError("socket_mode", "the socket's mode is 600 or 660")
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise ConfigurationError("socket_path", f"{path}: longer than {_MAX_PATH_BYTES} bytes")
    if not path.parent.exists() and path.parent.parent.is_dir():
        path.parent.mkdir(mode=0o750)
    check_own_folder(path)
    _remove_left_over(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # from the first moment nobody else may connect
    try:
        listening.bind(os.fspath(path))
        path.chmod(address.mode)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigurationError("socket_path", f"{path}: {error.strerror}") from None
    finally:
        os.umask(mask)
    return listening


def _remove_left_over(path: Path) -> None:
    """A socket that nobody listens on; anything else that stands there stays."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError("socket_path", f"{path}: something else stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise ConfigurationError("socket_path", f"{path}: {error.strerror}") from None
    raise ConfigurationError("socket_in_use", f"{path}: a sidecar listens there already")


def _listen_tcp(address: TcpAddress) -> socket.socket:
    """The socket names its protocol: without it, asyncio leaves Nagle's algorithm on, and answers
    of two writes wait 40 ms for the client's delayed acknowledgement.
    """
    try:
        family, kind, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ConfigurationError("port_in_use", f"{address}: {error.strerror}") from None
    return listening
