"""Every way in which a session or a token of ours ends before its ``exp``, in one place.

What ends something in code takes reason and initiator from here. The tests read the code for any
other reason, and walk this list on running servers: behind each entry but ``NEW_PRIMARY`` an agent
denies the token.
"""

from dataclasses import dataclass
from typing import Final

from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    Initiator,
    KeyRevoked,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """One way. ``kind`` is the event that the ledger hears of it; None where it hears of none: a
    session that ends by its age leaves no token behind, and a new primary, by design, lets the
    tokens live. Operators and services may give another reason where ``free_reason`` says so.
    """

    name: str
    reason: str
    initiator: Initiator
    kind: type[Event] | None
    free_reason: bool = False


LOGOUT: Final = Ending("logout", "logout", "user", SessionsRevoked)
LOGOUT_OF_TOKEN: Final = Ending("logout-of-token", "logout", "user", TokensRevoked)
LOGOUT_ALL: Final = Ending("logout-all", "logout-all", "user", SubjectRevokedBefore)
SESSION_REMOVED: Final = Ending("session-removed", "session-removed", "user", SessionsRevoked)
OTHER_SESSIONS_REMOVED: Final = Ending(
    "other-sessions-removed", "other-sessions-removed", "user", SessionsRevoked
)

REFRESH_REUSE: Final = Ending("refresh-reuse", "refresh-reuse", "system", SessionsRevoked)
REFRESH_AHEAD: Final = Ending("refresh-ahead", "refresh-ahead", "system", SessionsRevoked)
"""A generation that Redis does not know yet: Redis went back."""

DEVICE_MISMATCH: Final = Ending("device-mismatch", "device-mismatch", "system", SessionsRevoked)
USER_GONE: Final = Ending("user-gone", "user-gone", "system", SessionsRevoked)
"""A refresh for somebody whom the directory of users no longer knows."""

CLIENT_REVOKED_TOKEN: Final = Ending(
    "client-revoked-token", "client-revoked", "system", TokensRevoked
)
"""By the client that it was issued to (RFC 7009)."""

CLIENT_REVOKED_SESSION: Final = Ending(
    "client-revoked-session", "client-revoked", "system", SessionsRevoked
)
"""By the client, which gave one of its refresh tokens back (RFC 7009)."""

PASSWORD_CHANGED: Final = Ending(
    "password-changed", "password-changed", "admin", SubjectRevokedBefore
)
USER_DISABLED: Final = Ending("user-disabled", "user-disabled", "admin", SubjectRevokedBefore)
USER_DELETED: Final = Ending("user-deleted", "user-deleted", "admin", SubjectRevokedBefore)
CLIENT_DISABLED: Final = Ending("client-disabled", "client-disabled", "admin", ClientRevokedBefore)
CLIENT_SECRET_ROTATED: Final = Ending(
    "client-secret-rotated", "client-secret-rotated", "admin", ClientRevokedBefore
)
CLIENT_KEYS_REPLACED: Final = Ending(
    "client-keys-replaced", "client-keys-replaced", "admin", ClientRevokedBefore
)

ADMIN_TOKEN: Final = Ending("admin-token", "admin", "admin", TokensRevoked, free_reason=True)
ADMIN_BULK: Final = Ending("admin-bulk", "admin", "admin", TokensRevoked, free_reason=True)
ADMIN_SESSION: Final = Ending("admin-session", "admin", "admin", SessionsRevoked, free_reason=True)
ADMIN_SUBJECT: Final = Ending(
    "admin-subject", "admin", "admin", SubjectRevokedBefore, free_reason=True
)
ADMIN_CLIENT: Final = Ending(
    "admin-client", "admin", "admin", ClientRevokedBefore, free_reason=True
)
ADMIN_ALL: Final = Ending("admin-all", "admin", "admin", AllRevokedBefore, free_reason=True)
COMMAND_TOKEN: Final = Ending("command-token", "policy", "policy", TokensRevoked, free_reason=True)
"""This one and the next four: by another service, over NATS."""

COMMAND_SESSION: Final = Ending(
    "command-session", "policy", "policy", SessionsRevoked, free_reason=True
)
COMMAND_SUBJECT: Final = Ending(
    "command-subject", "policy", "policy", SubjectRevokedBefore, free_reason=True
)
COMMAND_CLIENT: Final = Ending(
    "command-client", "policy", "policy", ClientRevokedBefore, free_reason=True
)
COMMAND_ALL: Final = Ending("command-all", "policy", "policy", AllRevokedBefore, free_reason=True)
KEY_COMPROMISED: Final = Ending("key-compromised", "key-compromise", "admin", KeyRevoked)

IDLE: Final = Ending("idle", "idle", "system", None)
"""The session was not used for too long: no verifier takes its last token after its end."""

ABSOLUTE: Final = Ending("absolute", "absolute", "system", None)
"""The session has lasted for as long as any may: no verifier takes its last token after its end."""

NEW_PRIMARY: Final = Ending("new-primary", "new-primary", "system", None)
"""Redis may have lost refreshes: families end and everybody logs in anew. There is no event, by
design: nobody is suspected, and for every agent access tokens stay good until their ``exp``. The
issuer alone, which asks Redis, trades them no more and calls them inactive.
"""

ENDINGS: Final[tuple[Ending, ...]] = (
    LOGOUT,
    LOGOUT_OF_TOKEN,
    LOGOUT_ALL,
    SESSION_REMOVED,
    OTHER_SESSIONS_REMOVED,
    REFRESH_REUSE,
    REFRESH_AHEAD,
    DEVICE_MISMATCH,
    USER_GONE,
    CLIENT_REVOKED_TOKEN,
    CLIENT_REVOKED_SESSION,
    PASSWORD_CHANGED,
    USER_DISABLED,
    USER_DELETED,
    CLIENT_DISABLED,
    CLIENT_SECRET_ROTATED,
    CLIENT_KEYS_REPLACED,
    ADMIN_TOKEN,
    ADMIN_BULK,
    ADMIN_SESSION,
    ADMIN_SUBJECT,
    ADMIN_CLIENT,
    ADMIN_ALL,
    COMMAND_TOKEN,
    COMMAND_SESSION,
    COMMAND_SUBJECT,
    COMMAND_CLIENT,
    COMMAND_ALL,
    KEY_COMPROMISED,
    IDLE,
    ABSOLUTE,
    NEW_PRIMARY,
)
