"""The audit log as a running `tocsin issuer run` writes it into its log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.stack import PASSWORD, running_stack
from tocsin_issuer.store.audit_log import LOGGER

STRANGER = {"username": "mallory", "password": "wrong, wrong, wrong"}


async def test_an_entry_is_fields_that_can_be_filtered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a level that silences everything else of ours."""
    monkeypatch.setenv("TOCSIN_LOG_LEVEL", "error")
    async with running_stack(tmp_path) as stack:
        issuer = await stack.issuer()
        login = await stack.log_in(issuer)
        left = await stack.log_out(issuer, login["access_token"])
        assert (await stack.post(issuer, "/v1/login", json=STRANGER)).status == 401
        lines: list[dict[str, Any]] = [json.loads(line) for line in issuer.log.splitlines()]
    assert {line["logger"] for line in lines} == {LOGGER}
    assert [(line["action"], line["outcome"]) for line in lines] == [
        ("login", "ok"),
        ("logout", "ok"),
        ("login", "invalid_grant"),
    ]
    entered, ended, refused = lines
    assert entered["actor"] == ended["actor"]
    assert entered["actor"].startswith("u_")
    assert (ended["target"], ended["event_id"]) == (login["session_id"], left.members["event_id"])
    assert "actor" not in refused
    for line in lines:
        assert line["message"] == f"{line['action']}: {line['outcome']}"
        assert (line["level"], line["address"]) == ("info", "127.0.0.1")
    assert len({line["request_id"] for line in lines}) == 3
    assert not [hidden for hidden in (PASSWORD, *STRANGER.values()) if hidden in issuer.log]
