"""Whatever the OpenAPI documents allow, and much that they do not, gets a documented answer.

Schemathesis makes the requests from the documents of a running issuer, the same ones in every run;
its pytest plugin is not used. Of answers of 500 and above only the documented 503 may come.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.up import Up, running_up
from tocsin_issuer.exchange.policy_file import LOOK_S, POLICY_NAME
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE

EXAMPLES = 20
TIMEOUT_S = 20.0
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
POLICY = """
[clients.{client}]
receives = ["orders"]

[clients.{client}.targets.inventory]
"""
SUCCEED = {
    "public": {"GET /v1/sessions", "POST /v1/logout", "POST /v1/logout-all", "POST /oauth/token"},
    "internal": {
        "GET /admin/users",
        "POST /admin/users",
        "POST /admin/clients",
        "POST /admin/revocations",
        "POST /admin/users/{sub}/disable",
        "POST /admin/users/{sub}/enable",
        "POST /admin/clients/{client_id}/secret",
        "POST /oauth/token",
        "POST /oauth/introspect",
        "POST /oauth/revoke",
    },
}


@dataclass
class Callers:
    """Good credentials for an operation, and names for its path that somebody has."""

    up: Up
    names: dict[str, str]
    _token: str = ""

    def credentials(self, operation: Any) -> dict[str, Any]:
        schemes = {name for one in operation.definition.raw["security"] for name in one}
        if "client" in schemes:
            admin = self.up.secrets("admin")
            return {"auth": (admin["client_id"], admin["client_secret"])}
        if "bearer" not in schemes:
            return {}
        if not self._token:
            users = operation.path.startswith("/v1/")
            self._token = self.up.log_in()["access_token"] if users else self.up.operator_token()
        return {"headers": {"Authorization": f"Bearer {self._token}"}}

    def grant(self, listener: str) -> dict[str, str]:
        """A form for ``/oauth/token`` that succeeds: no generated one names a good token."""
        if listener == "public":
            return {"grant_type": "client_credentials"}
        return {
            "grant_type": GRANT_TYPE,
            "subject_token": self.up.log_in()["access_token"],
            "subject_token_type": ACCESS_TOKEN_TYPE,
            "audience": "inventory",
        }

    def forget(self) -> None:
        """The token was revoked, as some requests ask for."""
        self._token = ""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("api")
    with running_up(folder, "orders") as up:
        policy = POLICY.format(client=up.secrets("admin")["client_id"])
        (folder / ".tocsin" / "issuer" / POLICY_NAME).write_text(policy)
        time.sleep(LOOK_S)
        yield up


@pytest.fixture(scope="module")
def names(up: Up) -> dict[str, str]:
    user = {"username": "bob", "password": "a password for tests"}
    client = {"client_id": "reports", "audiences": ["orders"]}
    return {
        "sub": up.administer("/admin/users", user)["sub"],
        "client_id": up.administer("/admin/clients", client)["client_id"],
    }


@pytest.mark.parametrize("listener", SUCCEED)
def test_every_answer_is_a_documented_one(up: Up, names: dict[str, str], listener: str) -> None:
    url = up.public_url if listener == "public" else up.internal_url
    document = requests.get(f"{url}/openapi.json", timeout=TIMEOUT_S).json()
    callers, seen = Callers(up, names), defaultdict[str, set[int]](set)
    with requests.Session() as session:
        schema: Any = schemathesis.openapi.from_dict(document)
        for result in schema.get_all_operations():
            operation = result.ok()
            for mode in GenerationMode:
                try_operation(operation, mode, listener, url, session, callers, seen)
    assert len(seen) == sum(len(item) for item in document["paths"].values())
    refused = {name for name, statuses in seen.items() if min(statuses) >= 300}
    assert refused.isdisjoint(SUCCEED[listener]), "these were to succeed at least once"


def try_operation(
    operation: Any,
    mode: GenerationMode,
    listener: str,
    url: str,
    session: requests.Session,
    callers: Callers,
    seen: dict[str, set[int]],
) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def answers(case: Any, known: bool) -> None:
        names = {
            name: callers.names[name] for name in case.path_parameters if name in callers.names
        }
        if known:
            case.path_parameters.update(names)
            if operation.path == "/oauth/token" and mode is GenerationMode.POSITIVE:
                case.body = callers.grant(listener)
        credentials = callers.credentials(operation)
        response = case.call(base_url=url, session=session, timeout=TIMEOUT_S, **credentials)
        seen[operation.label].add(response.status_code)
        assert response.status_code < 500 or response.status_code == 503, operation.label
        case.validate_response(response, checks=CHECKS)
        if response.status_code == 401:
            callers.forget()

    if mode is GenerationMode.NEGATIVE:
        with suppress(Unsatisfiable):  # where nothing is sent, nothing can be wrong with it
            answers()
    else:
        answers()
