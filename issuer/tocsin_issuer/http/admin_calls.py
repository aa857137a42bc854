"""Every route of the internal listener, and who may call it: the one table.

A route of the admin API that does not stand here cannot be built, and a test walks all routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class AdminCall:
    """The permission that an operator's token needs, and the call's name in the audit log."""

    scope: str
    action: str


ADMIN_CALLS: Final[Mapping[tuple[str, str], AdminCall]] = {
    ("GET", "/admin/users"): AdminCall("users:read", "user.list"),
    ("POST", "/admin/users"): AdminCall("users:write", "user.create"),
    ("POST", "/admin/users/{sub}/password"): AdminCall("users:write", "user.password"),
    ("POST", "/admin/users/{sub}/disable"): AdminCall("users:write", "user.disable"),
    ("POST", "/admin/users/{sub}/enable"): AdminCall("users:write", "user.enable"),
    ("DELETE", "/admin/users/{sub}"): AdminCall("users:write", "user.delete"),
    ("GET", "/admin/clients"): AdminCall("clients:read", "client.list"),
    ("POST", "/admin/clients"): AdminCall("clients:write", "client.create"),
    ("POST", "/admin/clients/{client_id}/secret"): AdminCall("clients:write", "client.secret"),
    ("PUT", "/admin/clients/{client_id}/keys"): AdminCall("clients:write", "client.keys"),
    ("POST", "/admin/clients/{client_id}/disable"): AdminCall("clients:write", "client.disable"),
    ("POST", "/admin/clients/{client_id}/enable"): AdminCall("clients:write", "client.enable"),
    ("POST", "/admin/revocations"): AdminCall("revocations:write", "revocation"),
    ("POST", "/admin/revocations/bulk"): AdminCall("revocations:write", "revocation.bulk"),
    ("GET", "/admin/keys"): AdminCall("keys:read", "key.list"),
    ("POST", "/admin/keys/rotate"): AdminCall("keys:write", "key.rotate"),
    ("POST", "/admin/keys/{kid}/revoke"): AdminCall("keys:write", "key.revoke"),
    ("POST", "/admin/keys/drafts"): AdminCall("keys:write", "keyset.draft"),
    ("POST", "/admin/keys/keysets"): AdminCall("keys:write", "keyset.publish"),
    ("GET", "/admin/issuers"): AdminCall("keys:read", "issuer.list"),
    ("POST", "/admin/issuers/refresh"): AdminCall("keys:write", "issuer.refresh"),
    ("GET", "/admin/audit-log"): AdminCall("audit:read", "audit.read"),
    ("GET", "/admin/exchange-policy"): AdminCall("clients:read", "exchange-policy.show"),
}

BY_CLIENT: Final = frozenset(
    (("POST", "/oauth/token"), ("POST", "/oauth/revoke"), ("POST", "/oauth/introspect"))
)
"""These authenticate a client, and ask for what their RFC says."""

OPEN: Final = frozenset(
    (
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/asyncapi.json"),
        ("GET", "/openapi.json"),
        ("GET", "/.well-known/oauth-authorization-server"),
    )
)
"""These tell anybody who reaches the listener what is no secret."""

ADMINISTRATIVE: Final = (
    frozenset(call.scope for call in ADMIN_CALLS.values())
    | frozenset(
        f"{what}:{verb}"
        for what in ("users", "clients", "keys", "revocations", "issuers", "policy", "audit")
        for verb in ("read", "write")
    )
    | {"tokens:introspect", "tokens:exchange"}
)
"""What nobody may grant who lacks it."""
