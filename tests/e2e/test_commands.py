"""Revocation commands over NATS, from a service, to real issuers."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jsonschema_rs
import pytest
from faststream.nats import NatsBroker

from tests.e2e.conftest import Stack
from tests.issuer.embedded.bus import BusClient, received
from tests.support.commands import ask, command, edge
from tests.support.rejected import rejected
from tocsin_issuer.bus.app import create_broker
from tocsin_issuer.bus.commands import RevocationCommands
from tocsin_issuer.revoking.request import MAX_EXP
from tocsin_issuer.store import names
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_revocation_bus.jetstream.connection import connect as connect_bus
from tocsin_revocation_bus.jetstream.replay import replay
from tocsin_schemas import subjects
from tocsin_schemas.errors import LedgerHalted
from tocsin_schemas.events import SubjectRevokedBefore
from tocsin_schemas.subjects import REVOCATION_COMMANDS

BY_SUBJECT = {"by": "subject", "sub": "u_nobody", "reason": "fraud"}
MARK = "never-to-be-repeated"


@pytest.fixture
async def bus(stack: Stack) -> AsyncIterator[BusClient]:
    async with edge(stack) as client:
        yield client


@pytest.fixture
async def token(stack: Stack) -> str:
    return await service_token(stack, "fraud-detection", ["revocations:write"])


async def service_token(stack: Stack, name: str, scopes: list[str]) -> str:
    service = stack.development.service
    secret = await service.accounts.clients.create(name, [service.config.iss, "orders"], scopes)
    answer = await stack.http.post(
        stack.development.public_url + "/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(name, secret),
    )
    return str(answer.json()["access_token"])


async def audit_entries(stack: Stack, of: str) -> list[dict[str, Any]]:
    answer = await stack.admin("GET", f"/admin/audit-log?of={of}")
    entries = answer.json()["entries"]
    return [one for one in entries if one["action"] == "revocation.command"]


async def test_an_agent_denies_what_a_service_has_revoked(
    stack: Stack, bus: BusClient, token: str
) -> None:
    login = await stack.log_in()
    async with stack.agent() as agent:
        agent.verify(login["access_token"])
        wanted = {"by": "session", "sid": login["session_id"], "reason": "fraud"}
        reply = await ask(bus, command(revoke=wanted), token)
        assert await rejected(agent, login["access_token"]) == "session_revoked"
    assert set(reply) == {"status", "event_id"}
    assert reply["status"] == 200
    (entry,) = await audit_entries(stack, "acts")
    assert (entry["client_id"], entry["event_id"]) == ("fraud-detection", reply["event_id"])
    assert entry["target"] == f"session {login['session_id']}"


async def test_who_may_not(stack: Stack, bus: BusClient, token: str) -> None:
    lacking = await service_token(stack, "hr", ["keys:write", "audit:read"])
    login = await stack.log_in()
    body = command(revoke=BY_SUBJECT)
    for given, status, code in [
        (None, 401, "token_missing"),
        ("a.b.c", 401, "invalid_token"),
        (token[:-8] + "AAAAAAAA", 401, "invalid_token"),
        (login["access_token"], 401, "invalid_token"),  # it is for other services
        (lacking, 403, "insufficient_scope"),
    ]:
        reply = await ask(bus, body, given)
        assert (reply["status"], reply["code"]) == (status, code)
    await stack.admin(
        "POST", "/admin/revocations", {"by": "client", "client_id": "fraud-detection"}
    )
    reply = await ask(bus, body, token)
    assert (reply["status"], reply["code"]) == (401, "invalid_token")
    assert await audit_entries(stack, "acts") == []
    codes = [one["outcome"] for one in await audit_entries(stack, "refusals")]
    assert codes.count("insufficient_scope") == 1
    assert len(codes) == 6


BAD: list[tuple[bytes, str]] = [
    (b"", "json_malformed"),
    (MARK.encode(), "json_malformed"),
    (b'{"id":"a","id":"' + MARK.encode() + b'"}', "json_malformed"),
    (b"[" * 5000, "json_malformed"),
    (b"\xff" + MARK.encode(), "json_malformed"),
    (b"x" * 20_000, "body_too_large"),
    (command(), "field_invalid"),
    (command(id=MARK[:10], revoke=BY_SUBJECT), "field_invalid"),
    (command(id="x:" * 10, revoke=BY_SUBJECT), "field_invalid"),
    (command(revoke={"by": MARK}), "field_invalid"),
    (command(revoke={**BY_SUBJECT, MARK: 1}), "field_invalid"),
    (command(revoke={**BY_SUBJECT, "reason": f"Free text {MARK}"}), "field_invalid"),
    (command(revoke=BY_SUBJECT, more=MARK), "field_invalid"),
    (command(revoke={"by": "token", "token": MARK}), "not_a_token_of_ours"),
    (command(revoke={"by": "token", "jti": MARK, "exp": 2**39}), "exp_too_late"),
    (command(revoke={"by": "token", "jti": MARK, "exp": MAX_EXP - 1}), "event_malformed"),
    (command(revoke={**BY_SUBJECT, "iss": f"https://{MARK}"}), "unknown_issuer"),
    (command(revoke={**BY_SUBJECT, "dry_run": True}), "dry_run"),
]


async def test_bad_input_gets_one_answer_that_repeats_nothing(
    stack: Stack, bus: BusClient, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for body, code in BAD:
        inbox = await bus.subscribe(bus.connection.new_inbox())
        headers = {"authorization": f"Bearer {token}"}
        await bus.publish(REVOCATION_COMMANDS, body, reply=inbox.subject, headers=headers)
        (first, *more) = [await inbox.next_msg(timeout=10), *await received(inbox, 0.05)]
        reply = json.loads(first.data)
        assert (reply["code"], more) == (code, []), body
        assert 400 <= reply["status"] < 500
        assert MARK.encode() not in first.data
    lines = [one.getMessage() for one in caplog.records]
    assert [line for line in lines if MARK in line] == []
    assert token not in caplog.text
    assert await audit_entries(stack, "acts") == []


async def test_a_store_that_refuses(stack: Stack, bus: BusClient, token: str) -> None:
    body = command(revoke=BY_SUBJECT)
    key = f"{names.COMMAND}{json.loads(body)['id']}:fraud-detection"
    redis = connect_redis(stack.development.service._settings.redis_url)
    try:
        await redis.hset(key, "no", "text")
        reply = await ask(bus, body, token)
        assert (reply["status"], reply["code"]) == (503, "store_unavailable")
        await redis.delete(key)
        assert (await ask(bus, body, token))["status"] == 200
    finally:
        await redis.aclose()


async def test_without_a_lease(stack: Stack, bus: BusClient, token: str) -> None:
    """The issuer's own replica has seen two records of one identity, and believes nothing more."""
    stack.development.service.replica.halted = LedgerHalted("fork")
    reply = await ask(bus, command(revoke=BY_SUBJECT), token)
    assert (reply["status"], reply["code"]) == (503, "agent_stale")


async def test_a_command_that_comes_again_is_carried_out_once(
    stack: Stack, bus: BusClient, token: str
) -> None:
    body = command(revoke=BY_SUBJECT)
    first, second = [await ask(bus, body, token) for _ in range(2)]
    spaced = json.dumps(json.loads(body), indent=1).encode()
    third = await ask(bus, spaced, token)
    assert first == second == third
    assert first["status"] == 200
    (done, *_) = entries = await audit_entries(stack, "acts")
    assert {one["event_id"] for one in entries} == {first["event_id"]}
    assert (len(entries), done["request_id"]) == (3, json.loads(body)["id"])
    assert await events_in_ledger(stack, first["event_id"]) == 1

    changed = json.dumps({**json.loads(body), "revoke": {"by": "all"}}).encode()
    reply = await ask(bus, changed, token)
    assert (reply["status"], reply["code"]) == (409, "command_id_reused")

    other = await service_token(stack, "hr", ["revocations:write"])
    reply = await ask(bus, body, other)  # another client's id is another id
    assert reply["status"] == 200
    assert reply["event_id"] != first["event_id"]


async def events_in_ledger(stack: Stack, event_id: str) -> int:
    """How many cutoffs of subjects the ledger holds, of which that is one."""
    address = BusAddress((stack.nats.url,), stack.nats.edge_credentials)
    client = await connect_bus(address, name="test")
    service = stack.development.service
    replica = Replica(service.config.iss, service.replica.trust.pinned)
    try:
        events = [
            event.id
            async for one in replay(client, replica)
            for event in one.record.events
            if isinstance(event, SubjectRevokedBefore)
        ]
    finally:
        await client.close()
    assert event_id in events
    return len(events)


async def test_a_refused_command_may_come_again(bus: BusClient, token: str) -> None:
    body = command(revoke={**BY_SUBJECT, "iss": "https://unknown.example"})
    for _ in range(2):
        reply = await ask(bus, body, token)
        assert (reply["status"], reply["code"]) == (404, "unknown_issuer")


@asynccontextmanager
async def replica_of(stack: Stack) -> AsyncIterator[NatsBroker]:
    """A second issuer's answering of commands."""
    address = BusAddress((stack.nats.url,), stack.nats.core_credentials)
    broker = create_broker(address)
    await broker.start()
    commands = RevocationCommands(broker, stack.development.service.command_service)
    await commands.start()
    try:
        yield broker
    finally:
        await commands.stop()
        await broker.stop()


async def test_of_two_replicas_one_answers(stack: Stack, bus: BusClient, token: str) -> None:
    async with replica_of(stack):
        inbox = await bus.subscribe(bus.connection.new_inbox())
        headers = {"authorization": f"Bearer {token}"}
        for number in range(10):
            wanted = {"by": "session", "sid": f"session {number}"}
            await bus.publish(
                REVOCATION_COMMANDS, command(revoke=wanted), reply=inbox.subject, headers=headers
            )
        replies = [json.loads((await inbox.next_msg(timeout=10)).data) for _ in range(10)]
        assert await received(inbox) == []
    assert {one["status"] for one in replies} == {200}
    assert len({one["event_id"] for one in replies}) == 10


def refs_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for each in value.values() for ref in refs_in(each)]
    return [ref for each in value for ref in refs_in(each)] if isinstance(value, list) else []


def resolve(document: dict[str, Any], ref: str) -> Any:
    found: Any = document
    for part in ref.removeprefix("#/").split("/"):
        found = found[part.replace("%20", " ").replace("~1", "/")]
    return found


async def test_the_document_says_what_is_there(stack: Stack, bus: BusClient, token: str) -> None:
    answer = await stack.http.get(stack.development.internal_url + "/asyncapi.json")
    document = answer.json()
    assert document["asyncapi"] == "3.0.0"
    refs = refs_in(document)
    assert len(refs) > 10
    for ref in refs:
        assert resolve(document, ref) is not None
    assert stack.nats.url.removeprefix("nats://") not in answer.text

    known = {value for name, value in vars(subjects).items() if name.isupper()}
    addresses = {one["address"] for one in document["channels"].values()} - {None}
    assert addresses == {subjects.CLOCK_SYNC, REVOCATION_COMMANDS}
    assert addresses <= known
    for address in addresses:  # somebody is there
        reply = await bus.connection.request(address, b"x", timeout=10)
        assert (reply.headers or {}).get("Status") != "503"
    for operation in document["operations"].values():
        assert operation["reply"]["messages"]

    def validator(name: str) -> Any:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        return jsonschema_rs.validator_for(schema)

    good = command(revoke=BY_SUBJECT)
    assert validator("RevocationCommand").is_valid(json.loads(good))
    assert not validator("RevocationCommand").is_valid({"revoke": BY_SUBJECT})
    accepted, refused = await ask(bus, good, token), await ask(bus, b"x", token)
    assert validator("CommandAccepted").is_valid(accepted)
    assert not validator("CommandAccepted").is_valid(refused)
    assert validator("CommandRefused").is_valid(refused)
    assert validator("ClockRequest").is_valid({"nonce": "n" * 22})
