"""Where the secrets are, and where they are not."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from tests.issuer.embedded.bus import connect
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey, ServerProcess
from tocsin_schemas.errors import ConfigurationError

NO_RETRY = Retry(NoBackoff(), 0)
"""By default redis-py repeats a refused login for ten seconds."""


@pytest.fixture(params=[EmbeddedNats, EmbeddedValkey], ids=lambda kind: kind.__name__)
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerProcess]:
    monkeypatch.setenv("TOCSIN_TEST_SECRET", "a secret of the parent")
    started: ServerProcess = request.param(tmp_path / "data")
    with started:
        yield started


def secrets_of(server: ServerProcess) -> list[str]:
    if isinstance(server, EmbeddedNats):
        files = [server.core_credentials, server.edge_credentials]
    else:
        assert isinstance(server, EmbeddedValkey)
        files = [server.password_file]
    return [file.read_text().strip() for file in files]


def what_others_see(pid: int) -> list[str]:
    """The command line and environment of a process, where there is a /proc."""
    process = Path(f"/proc/{pid}")
    if not process.exists():
        return []
    return [(process / name).read_text() for name in ("cmdline", "environ")]


def test_every_file_is_for_its_owner_alone(server: ServerProcess) -> None:
    paths = list(server.data_dir.path.rglob("*"))
    assert len(paths) > 5
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path} has mode {mode:o}"
    for name in ("core.nk", "edge.nk", "valkey.password", "valkey.conf", "nats-server.conf"):
        path = server.data_dir.path / name
        if path.exists():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_no_secret_is_in_log_repr_or_command_line(server: ServerProcess) -> None:
    if isinstance(server, EmbeddedNats):
        client = await connect(server, server.core_credentials)
        await client.connection.close()
    else:
        assert isinstance(server, EmbeddedValkey)
        with Redis.from_url(server.url) as redis:
            redis.ping()
    shown = [repr(server), str(server), repr(vars(server)), *what_others_see(server.pid)]
    server.stop()
    shown.append(server.log_file.read_text())
    for secret in [*secrets_of(server), "a secret of the parent"]:
        assert len(secret) > 20
        assert not [text for text in shown if secret in text]


def test_the_nats_configuration_holds_public_keys_only(nats_server: EmbeddedNats) -> None:
    config = (nats_server.data_dir.path / "nats-server.conf").read_text()
    for seed in secrets_of(nats_server):
        assert seed.startswith("SU")
        assert seed not in config


def test_valkey_refuses_a_client_without_the_password(valkey_server: EmbeddedValkey) -> None:
    for password in (None, "", "guess"):
        with (
            Redis(port=valkey_server.port, password=password, retry=NO_RETRY) as client,
            pytest.raises(AuthenticationError),
        ):
            client.get("key")


def test_secrets_come_from_the_entropy_that_was_passed_in(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "data", entropy=lambda size: b"\x07" * size) as server:
        assert server.password_file.read_text() == "07" * 32


def test_a_damaged_seed_is_named_and_not_shown(tmp_path: Path) -> None:
    with EmbeddedNats(tmp_path / "data") as server:
        damaged = server.core_credentials.read_text()[:-9]
    server.data_dir.write_private("core.nk", damaged)
    with pytest.raises(ConfigurationError) as caught:
        server.start()
    assert caught.value.code == "credentials_invalid"
    assert damaged not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_that_would_add_a_directive_is_refused(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "data") as server:
        pass
    server.data_dir.write_private("valkey.password", "a" * 40 + "\nprotected-mode no\n")
    with pytest.raises(ConfigurationError) as caught:
        server.start()
    assert caught.value.code == "credentials_invalid"
