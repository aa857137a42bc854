"""Which client may reach which audience with which scopes. What is not named is denied.

::

    [clients.orders-service]
    receives = ["orders"]                 # it may trade tokens that are for one of these

    [clients.orders-service.targets.inventory]
    scopes = ["inventory:read"]           # and no others, even where the subject has more
    life_s = 300                          # 300 to 600 seconds; 300 where nothing is said
    resource = "https://inventory.internal/"    # another name for the audience (RFC 8707); optional

    [clients.orders-service.targets.search]
    pass_through = true                   # a token that is for search too is handed back as it is
"""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from tocsin_schemas.errors import ConfigurationError

MAX_POLICY_BYTES: Final = 256 * 1024

# RFC 6749 section 3.3.
Scope = Annotated[str, Meta(pattern=r"^[\x21\x23-\x5B\x5D-\x7E]{1,255}$")]
Identifier = Annotated[str, Meta(min_length=1, max_length=255)]
_PRINTABLE: Final = re.compile(r"[\x21-\x7E]{1,1024}")


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """An audience that a client may reach. ``life_s`` is in seconds.

    With ``pass_through`` the audience may be sent the original token, if that is for it too: the
    answer is then the subject token itself, with all that is in it. It gives a service more than it
    needs, so it is for services that are trusted as much as the client.
    """

    scopes: Annotated[tuple[Scope, ...], Meta(max_length=256)] = ()
    life_s: Annotated[int, Meta(ge=300, le=600)] = 300
    resource: str | None = None
    pass_through: bool = False


class ClientRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What one client may trade, and for what; ``targets`` are by audience."""

    receives: Annotated[tuple[Identifier, ...], Meta(min_length=1, max_length=32)]
    targets: dict[Identifier, Target] = {}

    def audience_of(self, resource: str) -> str | None:
        """The audience that a resource stands for, compared as text (RFC 3986 section 6.2.1)."""
        for audience, target in self.targets.items():
            if target.resource == resource:
                return audience
        return None


class ExchangePolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """The rules by client id."""

    clients: dict[Identifier, ClientRule] = {}


NOTHING_ALLOWED: Final = ExchangePolicy()


def parse(text: bytes, where: str) -> ExchangePolicy:
    """Read a policy.

    Args:
        text: the TOML.
        where: its name, for the messages.

    Raises:
        ConfigurationError: ``exchange_policy_malformed``; the message names the place.
    """
    if len(text) > MAX_POLICY_BYTES:
        raise _malformed(where, "too large")
    try:
        policy = msgspec.toml.decode(text, type=ExchangePolicy)
    except (msgspec.MsgspecError, ValueError) as error:  # of TOML, of UTF-8, or of what it says
        raise _malformed(where, str(error)) from None
    for client_id, rule in policy.clients.items():
        _check_resources(where, client_id, rule)
    return policy


def _check_resources(where: str, client_id: str, rule: ClientRule) -> None:
    """RFC 8707 section 2: an absolute URI without a fragment; and one names one target."""
    seen: set[str] = set()
    for audience, target in rule.targets.items():
        resource = target.resource
        if resource is None:
            continue
        place = f"{where}: clients.{client_id}.targets.{audience}.resource"
        if not (_PRINTABLE.fullmatch(resource) and urlsplit(resource).scheme) or "#" in resource:
            raise _malformed(place, "not an absolute URI without a fragment")
        if resource in seen:
            raise _malformed(place, "another target has it too")
        seen.add(resource)


def _malformed(where: str, what: str) -> ConfigurationError:
    return ConfigurationError("exchange_policy_malformed", f"{where}: {what}")
