"""``/admin/revocations/bulk``: what it takes, what it says, and what stays after it."""

import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest

from tests.issuer.http.conftest import CONFIG, Issuer
from tests.issuer.store.helpers import events_in
from tocsin_issuer.revoking.bulk import EVENTS_AHEAD, MAX_BAD_LINES, PER_EVENT
from tocsin_issuer.store import names
from tocsin_issuer.store.audit_log import ACTS, REFUSALS
from tocsin_schemas.events import TokensRevoked

PATH = "/admin/revocations/bulk"


@pytest.fixture
async def operator(issuer: Issuer) -> dict[str, str]:
    return await issuer.operator("revocations:write")


async def send(
    issuer: Issuer,
    header: dict[str, str],
    lines: Iterable[str],
    query: str = "",
    content_type: str = "text/plain; charset=utf-8",
) -> tuple[httpx.Response, list[dict[str, Any]]]:
    """The answer, and its lines."""

    async def chunks() -> AsyncIterator[bytes]:
        data = "".join(f"{line}\n" for line in lines).encode()
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    headers = {**header, "Content-Type": content_type}
    answer = await issuer.internal.post(PATH + query, content=chunks(), headers=headers)
    ndjson = answer.headers["Content-Type"] == "application/x-ndjson"
    return answer, [json.loads(line) for line in answer.text.splitlines()] if ndjson else []


def soon() -> int:
    """When a token of this moment expires; the whole suite takes longer than one lives."""
    return int(time.time()) + 600


def good(number: int) -> list[str]:
    exp = soon()
    return [f"jti-{i} {exp}" for i in range(number)]


async def revoked(issuer: Issuer) -> list[str]:
    """The jtis of all events that wait, in order."""
    return [
        rule.jti
        for event in await events_in(issuer.outbox)
        if isinstance(event, TokensRevoked)
        for rule in event.tokens
    ]


async def test_all_are_revoked_and_in_the_ledger(issuer: Issuer, operator: dict[str, str]) -> None:
    total = 25_000
    async with issuer.sequencing():
        answer, told = await send(issuer, operator, good(total))
    assert answer.status_code == 200
    counts = {"lines": total, "accepted": total, "expired": 0, "refused": 0}
    assert told[-1] == {"status": "committed", **counts, "through": total}
    assert [one["lines"] // 10_000 for one in told[:-1]] == [1, 2]
    for number in (0, PER_EVENT, total - 1):
        assert await issuer.redis.exists(f"{names.DENIED}jti-{number}")


async def test_each_bad_line_is_told_of_and_the_others_go_on(
    issuer: Issuer, operator: dict[str, str]
) -> None:
    exp = soon()
    lines = [
        f"one {exp}",
        "no-exp",
        "",
        f"late {exp + 10 * CONFIG.max_token_life_s}",
        f"old {exp - 86400}",
        json.dumps({"jti": "two", "exp": exp}),
        "x" * 3000 + " 5",
        f"three {exp}",
    ]
    _, told = await send(issuer, operator, lines, "?reason=breach", "application/x-ndjson")
    assert told == [
        {"line": 2, "code": "line_malformed"},
        {"line": 4, "code": "exp_too_late"},
        {"line": 7, "code": "line_too_long"},
        {
            "status": "pending",
            "lines": 8,
            "accepted": 3,
            "expired": 1,
            "refused": 3,
            "through": 8,
        },
    ]
    (event,) = await events_in(issuer.outbox)
    assert isinstance(event, TokensRevoked)
    assert (event.reason, event.initiator) == ("breach", "admin")
    assert [(rule.jti, rule.until) for rule in event.tokens] == [
        (name, exp + 30) for name in ("one", "two", "three")
    ]


async def test_it_may_be_sent_again(issuer: Issuer, operator: dict[str, str]) -> None:
    for _ in range(2):
        _, told = await send(issuer, operator, good(3))
        assert told[-1]["accepted"] == 3
    first, second = await events_in(issuer.outbox)
    assert first.id != second.id
    assert await revoked(issuer) == ["jti-0", "jti-1", "jti-2"] * 2


async def test_a_ledger_that_stands_still_holds_the_caller_back(
    issuer: Issuer, operator: dict[str, str]
) -> None:
    """A few events wait, and no more; what was accepted stays, and the answer says up to where."""
    _, told = await send(issuer, operator, good(10 * EVENTS_AHEAD * PER_EVENT))
    accepted = EVENTS_AHEAD * PER_EVENT
    last = told[-1]
    assert (last["status"], last["code"]) == ("stopped", "ledger_stalled")
    assert (last["accepted"], last["through"]) == (accepted, accepted)
    assert len(await events_in(issuer.outbox)) == EVENTS_AHEAD
    assert await revoked(issuer) == [f"jti-{i}" for i in range(accepted)]


async def test_the_wrong_file(issuer: Issuer, operator: dict[str, str]) -> None:
    lines = [*good(5), *["nonsense"] * (MAX_BAD_LINES + 500), *good(5)]
    _, told = await send(issuer, operator, lines)
    assert len(told) == MAX_BAD_LINES + 1
    last = told[-1]
    assert (last["status"], last["code"]) == ("stopped", "too_many_bad_lines")
    assert (last["through"], last["accepted"]) == (MAX_BAD_LINES + 5, 5)
    assert len(await revoked(issuer)) == 5


async def test_a_body_that_is_too_large(issuer: Issuer, operator: dict[str, str]) -> None:
    """What was accepted before the limit was met stays."""
    lines = good(PER_EVENT + 5)
    _, told = await send(issuer, operator, [*lines, *[" " * 2000] * 1000])
    last = told[-1]
    assert (last["status"], last["code"]) == ("stopped", "body_too_large")
    assert (last["through"], last["accepted"]) == (PER_EVENT, PER_EVENT)


async def test_what_is_refused_before_a_line_is_read(
    issuer: Issuer, operator: dict[str, str]
) -> None:
    for query, content_type, status, code in [
        ("", "application/json", 415, "content_type"),
        ("?reason=Free%20text", "text/plain", 400, "field_invalid"),
        ("?iss=https://nobody.example", "text/plain", 404, "unknown_issuer"),
    ]:
        answer, told = await send(issuer, operator, good(1), query, content_type)
        assert (answer.status_code, answer.json()["code"], told) == (status, code, [])
    assert await events_in(issuer.outbox) == []


async def test_how_it_began_and_ended_is_in_the_audit_log(
    issuer: Issuer, operator: dict[str, str]
) -> None:
    root = await issuer.users.sub_of("root")
    await send(issuer, operator, good(2), "?reason=breach")
    await send(issuer, operator, ["nonsense"] * (MAX_BAD_LINES + 1))
    await issuer.audit_log.aclose()
    acts = [
        one
        for one in (await issuer.audit_log.page(ACTS, 10)).entries
        if one["action"].startswith("revocation")
    ]
    refused_begin, end, begin = acts
    assert refused_begin["action"] == "revocation.bulk"
    assert (end["action"], end["outcome"], end["count"]) == ("revocation.bulk.end", "pending", 2)
    assert (end["actor"], end["target"]) == (root, "tokens, breach")
    assert end["request_id"] == begin["request_id"]
    (refused,) = (await issuer.audit_log.page(REFUSALS, 10)).entries
    assert (refused["action"], refused["outcome"]) == ("revocation.bulk.end", "too_many_bad_lines")
