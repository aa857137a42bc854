"""The AsyncAPI 3.0 document of what the issuer offers on the bus.

FastStream describes the subjects. Payloads are added from the types that read them, since they are
taken undecoded, and so are the replies, which it leaves out. Servers are left out: where the bus is
stands in each service's own file.
"""

from typing import Any, Final
from urllib.parse import quote

from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI
from msgspec import json as msgspec_json
from pydantic.json_schema import models_json_schema

from tocsin_issuer.bus.app import CLOCK_SYNC_TITLE
from tocsin_issuer.bus.commands import TITLE as COMMANDS_TITLE
from tocsin_issuer.bus.messages import CommandAccepted, CommandRefused, RevocationCommand
from tocsin_schemas.clock_reply import ClockRequest

_SCHEMAS: Final = "#/components/schemas/"


def describe(broker: NatsBroker) -> dict[str, Any]:
    """The document, as JSON members."""
    specification = AsyncAPI(broker, title="Tocsin issuer", version="1")
    document: dict[str, Any] = specification.to_specification().to_jsonable()
    del document["servers"]
    for channel in document["channels"].values():
        del channel["servers"]
    schemas = document["components"]["schemas"]
    schemas |= _pydantic_schemas()
    _, of_clock = msgspec_json.schema_components([ClockRequest], ref_template=_SCHEMAS + "{name}")
    schemas |= {name: _ecma(schema) for name, schema in of_clock.items()}
    schemas["ClockReply"] = {
        "type": "string",
        "description": "A compact JWS that repeats the nonce, or a code in its place.",
    }
    _exchange(document, CLOCK_SYNC_TITLE, "ClockRequest", "ClockReply")
    _exchange(document, COMMANDS_TITLE, "RevocationCommand", "CommandAccepted", "CommandRefused")
    _require_token(document, COMMANDS_TITLE)
    return document


def _pydantic_schemas() -> dict[str, Any]:
    _, found = models_json_schema(
        [
            (RevocationCommand, "validation"),
            (CommandAccepted, "serialization"),
            (CommandRefused, "serialization"),
        ],
        ref_template=_SCHEMAS + "{model}",
    )
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _ecma(value: Any) -> Any:
    """A schema whose patterns end as JSON Schema knows it (ECMA-262), and not as Python does."""
    if isinstance(value, dict):
        return {name: _ecma(each) for name, each in value.items()}
    return value.replace(r"\Z", "$") if isinstance(value, str) else value


def _exchange(document: dict[str, Any], title: str, asked: str, *replies: str) -> None:
    """Name the schemas of a subject's messages and of the replies to them. Where a reply goes, the
    one who asks says.
    """
    messages, schemas = document["components"]["messages"], document["components"]["schemas"]
    message = messages[f"{title}:SubscribeMessage"]
    schemas.pop(message["payload"]["$ref"].removeprefix(_SCHEMAS).replace("%20", " "))
    message["payload"] = {"$ref": _SCHEMAS + asked}
    channel = f"{title} reply"
    for name in replies:
        messages[name] = {"title": name, "payload": {"$ref": _SCHEMAS + name}}
    document["channels"][channel] = {
        "address": None,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in replies},
    }
    place = f"#/channels/{quote(channel)}"
    document["operations"][title]["reply"] = {
        "address": {"location": "$message.header#/reply"},
        "channel": {"$ref": place},
        "messages": [{"$ref": f"{place}/messages/{name}"} for name in replies],
    }


def _require_token(document: dict[str, Any], title: str) -> None:
    document["components"]["messages"][f"{title}:SubscribeMessage"]["headers"] = {
        "type": "object",
        "required": ["authorization"],
        "properties": {
            "authorization": {
                "type": "string",
                "description": "`Bearer` and an access token with the scope `revocations:write`.",
            }
        },
    }
