"""`tocsin up` finds what it left: keys, ledger, sessions, revocations."""

from pathlib import Path

import httpx

from tests.e2e.conftest import POLICY
from tests.support.ports import find_free
from tests.support.rejected import rejected
from tocsin_issuer.development import Development, DevelopmentOptions, FirstSecrets
from tocsin_issuer.settings import ExternalServers
from tocsin_verifier_agent import VerifierAgent


async def test_a_second_start_goes_on_where_the_first_one_ended(tmp_path: Path) -> None:
    options = DevelopmentOptions(
        folder=tmp_path / ".tocsin",
        out=tmp_path,
        services=("orders",),
        public_port=find_free(),
        internal_port=find_free(),
        policy=POLICY,
    )
    external = ExternalServers(None, None, None, None)
    secrets: FirstSecrets | None = None
    tokens: list[dict[str, str]] = []
    for start in (1, 2, 3):
        with Development(options, external) as development:
            service = development.service
            try:
                await service.start()
                made = await development.first_start()
                assert (made is not None) == (start == 1)
                secrets = secrets or made
                assert secrets is not None
                development.write_service_files()
                service.open()
                async with httpx.AsyncClient(base_url=development.public_url) as http:
                    login = await http.post(
                        "/v1/login",
                        json={"username": secrets.username, "password": secrets.password},
                    )
                    assert login.status_code == 200, login.text
                    tokens.append(login.json())
                    async with VerifierAgent.from_file(tmp_path / "orders.tocsin") as agent:
                        agent.verify(tokens[-1]["access_token"])
                        if start == 1:
                            continue
                        # A session of the last start is ended in this one, and stays ended.
                        old = tokens[-2]["access_token"]
                        headers = {"Authorization": f"Bearer {old}"}
                        answer = await http.post("/v1/logout", headers=headers)
                        assert answer.status_code == 200, answer.text
                        assert await rejected(agent, old) == "session_revoked"
                        if start == 3:
                            first = tokens[0]["access_token"]
                            assert await rejected(agent, first) == "session_revoked"
            finally:
                await service.stop()
