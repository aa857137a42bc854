"""What an issuer process is told, and the one place where the environment is read."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.foreign.issuers_file import ISSUERS_NAME, read_issuers_file
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_schemas.errors import ConfigurationError

_LISTENER_SETTINGS = (
    "public_url",
    "public_host",
    "public_port",
    "internal_url",
    "internal_host",
    "internal_port",
    "grpc_host",
    "grpc_port",
)


@dataclass(frozen=True, slots=True)
class ExternalServers:
    """NATS and Redis that somebody else runs; None where the embedded ones are to be used."""

    nats_url: str | None
    nats_credentials: Path | None
    edge_credentials: Path | None
    redis_url: str | None = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ExternalServers:
        """Read ``TOCSIN_NATS_URL``, ``TOCSIN_REDIS_URL`` and the files that go with them.

        Raises:
            ConfigurationError: ``secret_unreadable``.
        """
        return cls(
            nats_url=environment.get("TOCSIN_NATS_URL") or None,
            nats_credentials=_path(environment, "TOCSIN_NATS_CREDENTIALS_FILE"),
            edge_credentials=_path(environment, "TOCSIN_NATS_EDGE_CREDENTIALS_FILE"),
            redis_url=_secret(environment, "TOCSIN_REDIS_URL"),
        )


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """All that :class:`tocsin_issuer.service.IssuerService` needs."""

    folder: Path
    config: IssuerConfig
    bus: BusAddress
    redis_url: str = field(repr=False)


def settings_from_environment(environment: Mapping[str, str] = os.environ) -> IssuerSettings:
    """The settings of `tocsin issuer run`.

    Raises:
        ConfigurationError: ``setting_missing``, ``setting_invalid`` or ``secret_unreadable``; the
            message names the variable.
    """
    servers = ExternalServers.from_environment(environment)
    values: dict[str, object] = {
        "iss": _required(environment, "TOCSIN_ISSUER"),
        "default_audiences": tuple(
            name for name in _required(environment, "TOCSIN_AUDIENCES").split(",") if name
        ),
    }
    for name in _LISTENER_SETTINGS:
        given = environment.get(f"TOCSIN_{name.upper()}")
        if given:
            values[name] = given
    for listener in ("public", "internal"):
        tls = _tls(environment, f"TOCSIN_{listener.upper()}_TLS")
        if tls:
            values[f"{listener}_tls"] = tls
    if given := environment.get("TOCSIN_TRUSTED_PROXIES"):
        values["trusted_proxies"] = tuple(given.split(","))
    if given := environment.get("TOCSIN_TRUSTED_PROXY_HEADER"):
        values["trusted_proxy_header"] = given.lower()
    folder = Path(_required(environment, "TOCSIN_DATA_DIR"))
    values |= read_issuers_file(folder / ISSUERS_NAME)
    return IssuerSettings(
        folder=folder,
        config=checked_config(values),
        bus=BusAddress(
            tuple((servers.nats_url or _required(environment, "TOCSIN_NATS_URL")).split(",")),
            servers.nats_credentials,
        ),
        redis_url=servers.redis_url or _required(environment, "TOCSIN_REDIS_URL"),
    )


def log_level(environment: Mapping[str, str] = os.environ, default: str = "info") -> int:
    """From which level on we log, by ``TOCSIN_LOG_LEVEL``.

    Raises:
        ConfigurationError: ``setting_invalid``.
    """
    name = (environment.get("TOCSIN_LOG_LEVEL") or default).upper()
    level = logging.getLevelNamesMapping().get(name)
    if level is None:
        raise ConfigurationError("setting_invalid", "TOCSIN_LOG_LEVEL: debug, info, warning, error")
    return level


def checked_config(values: Mapping[str, object]) -> IssuerConfig:
    """The configuration, or one line that names what is wrong with it.

    Raises:
        ConfigurationError: ``setting_invalid``.
    """
    try:
        return IssuerConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError("setting_invalid", f"{where}: {first['msg']}") from None


def _tls(environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The certificate files of one listener; none of them, or at least certificate and key."""
    names = {
        "certificate": f"{prefix}_CERTIFICATE_FILE",
        "key": f"{prefix}_KEY_FILE",
        "client_ca": f"{prefix}_CLIENT_CA_FILE",
        "client_certificate": f"{prefix}_CLIENT_CERTIFICATE",
    }
    given = {field: environment[name] for field, name in names.items() if environment.get(name)}
    if given:
        given |= {field: _required(environment, names[field]) for field in ("certificate", "key")}
    return given


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise ConfigurationError("setting_missing", f"{name} is not set")
    return value


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    return Path(value) if value else None


def _secret(environment: Mapping[str, str], name: str) -> str | None:
    """A secret from the file that ``NAME_FILE`` names, or from ``NAME``."""
    path = _path(environment, f"{name}_FILE")
    if path is None:
        return environment.get(name) or None
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        raise ConfigurationError("secret_unreadable", f"{name}_FILE: cannot read {path}") from None
