"""Log lines: JSON, with the request that they belong to, and nothing of what was sent."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from tests.issuer.http.conftest import Issuer, bearer
from tocsin_issuer.http.request_id import HEADER
from tocsin_issuer.logs import FIELDS, JsonFormatter, request_id
from tocsin_issuer.settings import log_level
from tocsin_schemas.errors import ConfigurationError

SECRET = "in-a-request"


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    members: dict[str, Any] = json.loads(text)
    return members


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "tocsin.test", "levelname": "INFO", "msg": message, "args": args, **more}
    )


def test_a_line_is_one_object() -> None:
    members = line_of(record('two\nlines and a "quote" of %s', "alice", created=1764000000.25))
    assert members == {
        "time": "2025-11-24T16:00:00.250+00:00",
        "level": "info",
        "logger": "tocsin.test",
        "message": 'two\nlines and a "quote" of alice',
    }
    assert line_of(record("x", **{FIELDS: {"status": 200}}))["status"] == 200


def test_an_exception_shows_its_type_and_place_but_not_its_text() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        members = line_of(record("failed", exc_info=sys.exc_info()))
    assert members["error"] == "ValueError"
    assert __file__ in members["at"][-1]
    assert SECRET not in json.dumps(members)


async def test_each_request_has_a_line_and_an_id(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answers = [
        await issuer.public.get("/healthz", headers={HEADER: SECRET}),
        await issuer.public.delete(f"/v1/sessions/{'x' * 22}", headers=bearer(SECRET)),
        await issuer.public.get(f"/{SECRET}?token={SECRET}"),
    ]
    lines = [vars(one)[FIELDS] for one in caplog.records if one.name.endswith("request_log")]
    assert [(one["method"], one["route"], one["status"]) for one in lines] == [
        ("GET", "/healthz", 200),
        ("DELETE", "/v1/sessions/{sid}", 401),
        ("GET", None, 404),
    ]
    assert all(one["duration_ms"] >= 0 for one in lines)
    ids = {answer.headers[HEADER] for answer in answers}
    assert len(ids) == 3
    assert SECRET not in ids
    assert not [
        one for one in caplog.records if SECRET in one.getMessage() and "httpx" not in one.name
    ]


def test_a_line_within_a_request_names_it() -> None:
    token = request_id.set("r1")
    assert line_of(record("x"))["request_id"] == "r1"
    request_id.reset(token)
    assert "request_id" not in line_of(record("x"))


def test_the_level_is_a_setting() -> None:
    assert log_level({}) == logging.INFO
    assert log_level({}, default="warning") == logging.WARNING
    assert log_level({"TOCSIN_LOG_LEVEL": "debug"}) == logging.DEBUG
    with pytest.raises(ConfigurationError):
        log_level({"TOCSIN_LOG_LEVEL": "loud"})
