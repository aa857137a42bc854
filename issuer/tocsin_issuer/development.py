"""What `tocsin up` sets up around the issuer: servers, a first user and client, service files.

Everything lies in one folder, and is made once: the next start finds it and goes on.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_issuer.foreign.issuers_file import ISSUERS_NAME, read_issuers_file
from tocsin_issuer.keys import ceremony
from tocsin_issuer.service import IssuerService
from tocsin_issuer.service_file import render_service_file
from tocsin_issuer.settings import ExternalServers, IssuerSettings, checked_config
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Policy

ADMIN_NAME = "admin.toml"
USER_NAME = "first-user.toml"
FIRST_USERNAME = "alice"
ADMIN_CLIENT = "operator"
ADMIN_SCOPES = (
    "revocations:write",
    "keys:read",
    "keys:write",
    "tokens:introspect",
    "users:read",
    "users:write",
    "clients:read",
    "clients:write",
    "audit:read",
)


@dataclass(frozen=True, slots=True)
class DevelopmentOptions:
    """What may be chosen on the command line. The policy counts on the first start only."""

    folder: Path
    out: Path
    services: Sequence[str]
    public_port: int
    internal_port: int
    policy: Policy
    grpc_port: int | None = None


@dataclass(frozen=True, slots=True)
class FirstSecrets:
    """Made on the first start, kept in files of mode 600, shown once."""

    username: str
    password: str
    user_file: Path
    admin_file: Path

    def __repr__(self) -> str:
        return f"FirstSecrets(username={self.username!r})"


class Development:
    """A whole stack on one machine. Construct and enter it in the main thread."""

    def __init__(
        self, options: DevelopmentOptions, external: ExternalServers | None = None
    ) -> None:
        self._options = options
        self._external = ExternalServers.from_environment() if external is None else external
        self._closing = ExitStack()
        self.public_url = f"http://127.0.0.1:{options.public_port}"
        self.internal_url = f"http://127.0.0.1:{options.internal_port}"
        self.edge = BusAddress(())
        self.service: IssuerService

    def __enter__(self) -> Development:
        try:
            self._prepare()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.close()

    def _prepare(self) -> None:
        options = self._options
        folder = DataDir(options.folder)
        folder.acquire()
        self._closing.callback(folder.release)
        core, self.edge = self._nats()
        redis_url = self._redis()
        issuer_folder = options.folder / "issuer"
        config = self._config(issuer_folder)
        if not (issuer_folder / ceremony.KEYSET_NAME).exists():
            life = max(options.policy.max_token_life_s, config.foreign_token_life_s or 0)
            ceremony.init(
                issuer_folder,
                issuer=config.iss,
                policy=structs.replace(options.policy, max_token_life_s=life),
                now=int(time.time()),
                foreign_issuers=tuple(one.named for one in config.foreign_issuers or ()),
            )
        self.service = IssuerService(
            IssuerSettings(folder=issuer_folder, config=config, bus=core, redis_url=redis_url)
        )

    def _config(self, issuer_folder: Path) -> IssuerConfig:
        """The issuer's name is chosen on the first start; a change of port does not change it.

        Foreign issuers stand in `issuers.toml`, in the folder; a later start notices a change.
        """
        options = self._options
        first = not (issuer_folder / ceremony.KEYSET_NAME).exists()
        return checked_config(
            {
                "iss": self.public_url if first else ceremony.issuer_of(issuer_folder),
                "public_url": self.public_url,
                "internal_url": self.internal_url,
                "public_port": options.public_port,
                "internal_port": options.internal_port,
                "grpc_port": options.grpc_port,
                "default_audiences": tuple(options.services),
                **read_issuers_file(options.folder / ISSUERS_NAME),
            }
        )

    def _nats(self) -> tuple[BusAddress, BusAddress]:
        external = self._external
        if external.nats_url is not None:
            servers = tuple(external.nats_url.split(","))
            return (
                BusAddress(servers, external.nats_credentials),
                BusAddress(servers, external.edge_credentials or external.nats_credentials),
            )
        nats = self._closing.enter_context(EmbeddedNats(self._options.folder / "nats"))
        return (
            BusAddress((nats.url,), nats.core_credentials),
            BusAddress((nats.url,), nats.edge_credentials),
        )

    def _redis(self) -> str:
        if self._external.redis_url is not None:
            return self._external.redis_url
        return self._closing.enter_context(EmbeddedValkey(self._options.folder / "valkey")).url

    # --- after the issuer has started -----------------------------------------------------------

    async def first_start(self) -> FirstSecrets | None:
        """Make the first user and the operator's client, unless they were made before."""
        folder = DataDir(self._options.folder)
        if folder.read_private(ADMIN_NAME) is not None:
            return None
        accounts = self.service.accounts
        password = secrets.token_urlsafe(12)
        perms = [f"{name}:{verb}" for name in self._options.services for verb in ("read", "write")]
        await accounts.users.create(FIRST_USERNAME, password, role="user", perms=perms)
        secret = await accounts.clients.create(
            ADMIN_CLIENT, [self.service.config.iss], ADMIN_SCOPES
        )
        user_file = folder.write_private(
            USER_NAME, f'username = "{FIRST_USERNAME}"\npassword = "{password}"\n'
        )
        admin_file = folder.write_private(
            ADMIN_NAME,
            f'public_url = "{self.public_url}"\ninternal_url = "{self.internal_url}"\n'
            f'client_id = "{ADMIN_CLIENT}"\nclient_secret = "{secret}"\n',
        )
        return FirstSecrets(FIRST_USERNAME, password, user_file, admin_file)

    def write_service_files(self) -> list[Path]:
        """Write one `.tocsin` file for each service; an older one is replaced."""
        out = self._options.out
        keyset = self.service.keyset
        written: list[Path] = []
        for name in self._options.services:
            credentials = self.edge.credentials
            text = render_service_file(
                issuer=keyset.iss,
                audiences=[name],
                thumbprints=keyset.roots.public_keys(),
                threshold=keyset.roots.threshold,
                roots_version=keyset.roots.version,
                servers=self.edge.servers,
                credentials=None if credentials is None else os.path.relpath(credentials, out),
            )
            written.append(_write_owner_only(out / f"{name}.tocsin", text))
        return written


def _write_owner_only(path: Path, text: str) -> Path:
    draft = path.with_name(path.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        raise ConfigurationError("file_unwritable", f"{path}: {error.strerror}") from None
    return path
