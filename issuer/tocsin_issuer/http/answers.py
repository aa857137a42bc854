"""What the endpoints answer, for the OpenAPI document. Times are seconds of UTC."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tocsin_issuer.audit_entry import AuditEntry
from tocsin_issuer.revoking.live_counts import Count
from tocsin_issuer.store.account_list import ListedClient, ListedUser


class ErrorAnswer(BaseModel):
    """Any refusal: ``error`` is the RFC's word, ``code`` our stable one."""

    error: str
    error_description: str
    code: str


class Health(BaseModel):
    """``ok``, ``ready`` or ``not ready``."""

    status: str


class CommitAnswer(BaseModel):
    """Committed (200): in the ledger. Pending (202): in the durable outbox. Without an event there
    was nothing left to end.
    """

    event_id: str | None
    status: Literal["committed", "pending"]


class DryRun(BaseModel):
    """What a revocation would hit; null is what nobody can know."""

    status: Literal["dry-run"]
    sessions: Count
    clients: Count
    tokens: Count


class BulkLine(BaseModel):
    """A line of the answer: a bad line of the request and why, or how far it is. ``status`` is in
    the last one, with the number of the last line that has been dealt with.
    """

    line: int | None = None
    code: str | None = None
    lines: int | None = None
    accepted: int | None = None
    expired: int | None = None
    refused: int | None = None
    status: Literal["committed", "pending", "stopped"] | None = None
    through: int | None = None


class _Token(BaseModel):
    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int


class SessionTokens(_Token):
    """A session's tokens."""

    refresh_token: str
    session_id: str


class ClientToken(_Token):
    """A client's own token."""

    scope: str = ""


class ExchangedToken(ClientToken):
    """A derived token (RFC 8693 section 2.2.1)."""

    issued_token_type: str


class Introspection(BaseModel):
    """RFC 7662 section 2.2; the claims only where the token is active."""

    model_config = ConfigDict(extra="allow")

    active: bool


class Metadata(BaseModel):
    """RFC 8414 section 2."""

    model_config = ConfigDict(extra="allow")

    issuer: str
    token_endpoint: str
    jwks_uri: str
    response_types_supported: list[str]
    grant_types_supported: list[str]


class KeySet(BaseModel):
    """RFC 7517 section 5."""

    keys: list[dict[str, Any]]


class Session(BaseModel):
    """One session of the user's; ``current`` is that of the token."""

    id: str
    device_name: str
    created: int
    last_seen: int
    address: str
    current: bool


class SessionPage(BaseModel):
    """``cursor`` leads to the next page; without it, this is the last one."""

    sessions: list[Session]
    cursor: str = ""


class KeysetDates(BaseModel):
    """The keyset in force."""

    version: int
    expires_at: int


class TokenKey(BaseModel):
    """Phase and dates of a token key; ``held`` where its private half is here."""

    kid: str
    alg: str
    phase: str
    usable_from: float | None
    turn_ends: float
    sign_until: int
    verify_until: int
    held: bool


class LedgerKey(BaseModel):
    """A key that signs the ledger."""

    kid: str
    alg: str
    revoked: bool
    sign_until: int
    held: bool


class KeyNotice(BaseModel):
    """What an operator must hear of before it happens."""

    code: str
    kid: str
    at: int
    urgent: bool


class KeyList(BaseModel):
    """The keys, in the order of their turns."""

    keyset: KeysetDates
    keys: list[TokenKey]
    ledger_keys: list[LedgerKey]
    notices: list[KeyNotice]


class ChosenKey(BaseModel):
    """The key that signs from now on."""

    kid: str


class DraftedKeyset(BaseModel):
    """A keyset for the roots to sign, and the signed one that it follows."""

    keyset: dict[str, Any]
    replaces: dict[str, Any] | None


class CommittedKeyset(BaseModel):
    """The keyset is in the ledger."""

    event_id: str
    status: Literal["committed"]


class IssuerList(BaseModel):
    """Foreign issuers, and how their keys were fetched."""

    issuers: list[dict[str, Any]]


class Fetching(BaseModel):
    """Keys will be fetched soon."""

    status: Literal["fetching"]


class PolicyInForce(BaseModel):
    """The exchange policy; with a ``failure`` it is older than its file."""

    failure: str | None
    clients: dict[str, Any]


class UserPage(BaseModel):
    """Users by sub; ``cursor`` as in sessions."""

    users: list[ListedUser]
    cursor: str = ""


class ClientPage(BaseModel):
    """Clients by id; ``cursor`` as in sessions."""

    clients: list[ListedClient]
    cursor: str = ""


class NamedUser(BaseModel):
    """A user."""

    sub: str


class NamedClient(BaseModel):
    """A client."""

    client_id: str


class MadeClient(NamedClient):
    """A client that was made; its secret is shown this once, if it has one."""

    client_secret: str | None = None


class RenewedSecret(CommitAnswer):
    """The new secret is shown this once; the event ends what was got with the old one."""

    client_secret: str


class AuditLogPage(BaseModel):
    """Entries, newest first, each without what is not known of it."""

    entries: list[AuditEntry]
    cursor: str = ""


class AsyncApiDocument(BaseModel):
    """What is offered on the bus."""

    model_config = ConfigDict(extra="allow")

    asyncapi: str
