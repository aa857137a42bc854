"""The admin API as the command line uses it, with the client that `tocsin up` made."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from msgspec import Struct, ValidationError, convert, structs

from tocsin_revocation_bus.jetstream.connection import check_credentials
from tocsin_schemas.errors import ConfigurationError, TocsinError
from tocsin_verifier_agent.client_tls import ClientTls

DEFAULT_FILE = Path(".tocsin/admin.toml")
TIMEOUT_S = 35.0
STREAM_TIMEOUT_S = 330.0  # more than an issuer may wait for its ledger

AdminFile = Annotated[
    Path,
    typer.Option(
        "--admin-file", envvar="TOCSIN_ADMIN_FILE", help="Who you are; `tocsin up` writes it."
    ),
]


class AdminAccess(Struct, frozen=True, forbid_unknown_fields=True):
    """The admin file: where the issuer is, and the client that may administer it.

    The client shows its secret, or without one its certificate. Paths are relative to the file.
    """

    public_url: str
    internal_url: str
    client_id: str
    client_secret: str = ""
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def beside(self, folder: Path) -> AdminAccess:
        """With the paths made relative to ``folder``."""
        paths = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
        return structs.replace(
            self, **{name: str(folder / path) for name, path in paths.items() if path is not None}
        )

    def tls(self) -> ClientTls:
        """The certificate files.

        Raises:
            ConfigurationError: ``credentials_missing`` or ``credentials_mode`` of the key.
        """
        if self.key is not None:
            check_credentials(Path(self.key))
        names = (self.ca, self.certificate, self.key)
        return ClientTls(*(None if name is None else Path(name) for name in names))

    def __repr__(self) -> str:
        return f"AdminAccess(internal_url={self.internal_url!r}, client_id={self.client_id!r})"


def read_access(path: Path) -> AdminAccess:
    """Read the admin file.

    Raises:
        ConfigurationError: ``admin_file_missing``, ``admin_file_open`` or ``admin_file_malformed``.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except OSError:
        raise ConfigurationError(
            "admin_file_missing", f"{path}: cannot read the admin file; is `tocsin up` running?"
        ) from None
    if mode & 0o077:
        raise ConfigurationError("admin_file_open", f"{path}: open to others; chmod 600")
    try:
        return convert(tomllib.loads(text), AdminAccess).beside(path.parent)
    except (tomllib.TOMLDecodeError, ValidationError):
        raise ConfigurationError("admin_file_malformed", f"{path}: not an admin file") from None


class AdminRefused(TocsinError):
    """The issuer refused; the code is its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and members of an answer."""

    status: int
    members: dict[str, Any]


class AdminClient:
    """Calls the internal listener with a token that it gets for each run.

    Raises:
        ConfigurationError: as :meth:`AdminAccess.tls` and :meth:`ClientTls.context`.
    """

    def __init__(self, access: AdminAccess) -> None:
        self._access = access
        self._http = httpx.Client(timeout=TIMEOUT_S, verify=access.tls().context())
        self._token: str | None = None

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """One call.

        Raises:
            AdminRefused: with the issuer's code.
            ConfigurationError: ``issuer_unreachable``.
        """
        headers = {"Authorization": f"Bearer {self._bearer()}"}
        answer = self._send(
            method, self._access.internal_url + path, headers=headers, json_body=body
        )
        return Answer(answer.status_code, _members(answer))

    def stream(
        self, path: str, query: dict[str, str], chunks: Iterator[bytes]
    ) -> Iterator[dict[str, Any]]:
        """Send lines of text; each line of the answer, as it comes.

        Raises:
            AdminRefused: with the issuer's code.
            ConfigurationError: ``issuer_unreachable``.
        """
        url = self._access.internal_url + path
        headers = {"Authorization": f"Bearer {self._bearer()}", "Content-Type": "text/plain"}
        try:
            with self._http.stream(
                "POST", url, params=query, headers=headers, content=chunks, timeout=STREAM_TIMEOUT_S
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    _members(answer)
                for line in answer.iter_lines():
                    yield json.loads(line)
        except httpx.TransportError:
            raise _unreachable(url) from None

    def _bearer(self) -> str:
        if self._token is None:
            access = self._access
            form, auth = {"grant_type": "client_credentials"}, None
            if access.client_secret:
                auth = (access.client_id, access.client_secret)
            else:
                form["client_id"] = access.client_id  # RFC 8705 section 2.1
            answer = self._send("POST", access.public_url + "/oauth/token", form=form, auth=auth)
            self._token = str(_members(answer)["access_token"])
        return self._token

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        json_body: dict[str, Any] | None = None,
        form: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return self._http.request(
                method,
                url,
                headers=headers,
                json=json_body,
                data=form,
                auth=httpx.USE_CLIENT_DEFAULT if auth is None else auth,
            )
        except httpx.TransportError:
            raise _unreachable(url) from None


def _unreachable(url: str) -> ConfigurationError:
    return ConfigurationError("issuer_unreachable", f"{url}: the issuer does not answer")


def _members(answer: httpx.Response) -> dict[str, Any]:
    try:
        members = answer.json()
    except ValueError:
        members = {}
    if answer.is_success and isinstance(members, dict):
        return members
    said = members if isinstance(members, dict) else {}
    code = str(said.get("code", said.get("error", "refused")))
    text = str(said.get("error_description") or f"the issuer answered {answer.status_code}")
    raise AdminRefused(code, text)
