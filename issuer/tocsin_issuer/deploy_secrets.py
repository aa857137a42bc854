"""The secrets of a container deployment: one folder, made once, that `compose.yaml` mounts.

::

    folder/
    ├── compose.env            what the compose file asks for: user, issuer
    ├── kek                    encrypts the private keys in issuer/, and so lies outside of it
    ├── core.nk, edge.nk       nkey seeds for the bus: the issuer's, and the one that agents share
    ├── nats.conf              knows the public halves only
    ├── valkey.conf            holds the password
    ├── valkey.password        the password alone, for the health check
    ├── redis.url              the URL with the password in it
    ├── issuer/                the issuer's data directory: roots, keys, the first keyset
    └── NAME.tocsin            one for each service

Every file has mode 600 and every folder 700: agents refuse a file that others may read. Docker
mounts such a file with the owner and the mode that it has on the host, so the containers run as
the owner of these files.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import nkeys

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.embedded.nats_config import CONTAINER, NatsConfig
from tocsin_issuer.embedded.valkey_config import ValkeyConfig
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.kek import KEK_FILE_VARIABLE
from tocsin_issuer.service_file import render_service_file
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Keyset, Policy

NATS_PORT: Final = 4222
NATS_URL: Final = f"nats://nats:{NATS_PORT}"
VALKEY_PORT: Final = 6379

CONTAINER_UID: Final = 10001
"""Who gets the files that root makes: no container runs as root."""

COMPOSE_ENV: Final = "compose.env"
KEK: Final = "kek"
CORE_SEED: Final = "core.nk"
EDGE_SEED: Final = "edge.nk"
NATS_CONF: Final = "nats.conf"
VALKEY_CONF: Final = "valkey.conf"
VALKEY_PASSWORD: Final = "valkey.password"  # noqa: S105 - the name of a file
REDIS_URL: Final = "redis.url"
ISSUER_DATA: Final = "issuer"
SERVICE_SUFFIX: Final = ".tocsin"

_SERVICE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# It goes into an environment file, where a quote, a dollar sign or a backslash has a meaning.
_ISSUER: Final = re.compile(r"https?://[^\s'\"$\\#]{1,1000}")
_SEED_BYTES: Final = 32
_PASSWORD_BYTES: Final = 32


def make_deploy_secrets(
    folder: Path, *, issuer: str, services: Sequence[str], policy: Policy, now: int
) -> Keyset:
    """Make the folder and return the first keyset. ``now`` is in seconds of UTC.

    Either the whole folder is there afterwards, or none of it.

    Raises:
        ConfigurationError: ``secrets_exist`` (nothing is ever overwritten), ``secrets_invalid`` (an
            issuer or a service name that does not fit into the files), ``secrets_unusable`` (the
            folder cannot be made), or ``kek_elsewhere``.
    """
    _check(issuer, services)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        if os.path.lexists(folder):
            raise ConfigurationError(
                "secrets_exist", f"{folder} is there already; secrets are never overwritten"
            ) from None
        raise ConfigurationError(
            "secrets_unusable", f"cannot make {folder}: {error.strerror}"
        ) from error
    try:
        return _fill(DataDir(folder), issuer, services, policy, now)
    except BaseException:
        shutil.rmtree(folder)
        raise


def _check(issuer: str, services: Sequence[str]) -> None:
    if not _ISSUER.fullmatch(issuer):
        raise ConfigurationError(
            "secrets_invalid", "the issuer is a URL without quotes, $, \\ or #"
        )
    if not services or len(set(services)) != len(services):
        raise ConfigurationError("secrets_invalid", "name at least one service, and each once")
    for name in services:
        if not _SERVICE_NAME.fullmatch(name):
            raise ConfigurationError(
                "secrets_invalid",
                "a service's name has lower-case letters, digits, - and _, at most 63 in all",
            )
    if os.environ.get(KEK_FILE_VARIABLE):
        raise ConfigurationError(
            "kek_elsewhere", f"unset {KEK_FILE_VARIABLE}: a deployment gets a key of its own"
        )


def _fill(
    target: DataDir, issuer: str, services: Sequence[str], policy: Policy, now: int
) -> Keyset:
    core, edge = _bus_user(target, CORE_SEED), _bus_user(target, EDGE_SEED)
    nats = NatsConfig(port=NATS_PORT, core_nkey=core, edge_nkey=edge, place=CONTAINER)
    target.write_private(NATS_CONF, nats.render())

    password = secrets.token_hex(_PASSWORD_BYTES)
    target.write_private(VALKEY_PASSWORD, password)
    config = ValkeyConfig(bind="* -::*", port=VALKEY_PORT, folder="/data", password=password)
    target.write_private(VALKEY_CONF, config.render())
    target.write_private(REDIS_URL, f"redis://:{password}@valkey:{VALKEY_PORT}/0")

    data = target.path / ISSUER_DATA
    keyset = ceremony.init(data, issuer=issuer, policy=policy, now=now)
    # Beside the keys it encrypts it would protect nothing: a copy of the data directory is enough.
    (data / KEK).rename(target.path / KEK)

    for name in services:
        target.write_private(name + SERVICE_SUFFIX, _service_file(keyset, name))
    owner = _owner()
    target.write_private(
        COMPOSE_ENV, f"TOCSIN_UID={owner[0]}\nTOCSIN_GID={owner[1]}\nTOCSIN_ISSUER='{issuer}'\n"
    )
    if os.geteuid() == 0:
        for path in (*target.path.rglob("*"), target.path):
            os.chown(path, *owner)
    return keyset


def _owner() -> tuple[int, int]:
    """The user and the group of the files and of the containers."""
    if os.geteuid() == 0:
        return CONTAINER_UID, CONTAINER_UID
    return os.geteuid(), os.getegid()


def _bus_user(target: DataDir, name: str) -> str:
    """Make an nkey seed, keep it, and return its public half."""
    entropy = secrets.token_bytes(_SEED_BYTES)
    seed = bytes(nkeys.encode_seed(entropy, nkeys.PREFIX_BYTE_USER))
    target.write_private(name, seed.decode("ascii") + "\n")
    return bytes(nkeys.from_seed(bytearray(seed)).public_key).decode("ascii")


def _service_file(keyset: Keyset, name: str) -> str:
    return render_service_file(
        issuer=keyset.iss,
        audiences=[name],
        thumbprints=keyset.roots.public_keys(),
        threshold=keyset.roots.threshold,
        servers=[NATS_URL],
        credentials=EDGE_SEED,
    )
