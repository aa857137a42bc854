"""The admin API as the command line uses it, with the client that `tocsin up` made."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from msgspec import Struct, ValidationError, convert

from tocsin_schemas.errors import ConfigurationError, TocsinError

DEFAULT_FILE = Path(".tocsin/admin.toml")
TIMEOUT_S = 35.0

AdminFile = Annotated[
    Path,
    typer.Option(
        "--admin-file", envvar="TOCSIN_ADMIN_FILE", help="Who you are; `tocsin up` writes it."
    ),
]


class AdminAccess(Struct, frozen=True, forbid_unknown_fields=True):
    """The admin file: where the issuer is, and the client that may administer it."""

    public_url: str
    internal_url: str
    client_id: str
    client_secret: str

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
        return convert(tomllib.loads(text), AdminAccess)
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
    """Calls the internal listener with a token that it gets for each run."""

    def __init__(self, access: AdminAccess) -> None:
        self._access = access
        self._http = httpx.Client(timeout=TIMEOUT_S)
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

    def _bearer(self) -> str:
        if self._token is None:
            answer = self._send(
                "POST",
                self._access.public_url + "/oauth/token",
                form={"grant_type": "client_credentials"},
                auth=(self._access.client_id, self._access.client_secret),
            )
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
            raise ConfigurationError(
                "issuer_unreachable", f"{url}: the issuer does not answer"
            ) from None


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
