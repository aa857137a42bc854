"""The secrets of a deployment: complete, closed to others, and what the real servers take."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import redis
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tests.deploy.secrets_folder import ISSUER, NOW, POLICY, SERVICES, make
from tests.deploy.servers import ContainerNats, ContainerValkey
from tests.support.flushed import flushed
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.deploy_secrets import CONTAINER_UID, make_deploy_secrets
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_schemas import keyset as keysets
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.signed_document import SignedDocument
from tocsin_schemas.subjects import EDGE_SUBJECTS, LEDGER_STREAM
from tocsin_verifier_agent import VerifierAgent, agent_file

# --- the files ----------------------------------------------------------------------------------


def test_nothing_is_open_to_others(secrets_folder: Path) -> None:
    for path in (secrets_folder, *secrets_folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_files_and_containers_have_one_owner_who_is_not_root(secrets_folder: Path) -> None:
    root = os.geteuid() == 0
    owner, group = (CONTAINER_UID,) * 2 if root else (os.geteuid(), os.getegid())
    assert {path.stat().st_uid for path in (secrets_folder, *secrets_folder.rglob("*"))} == {owner}
    assert (secrets_folder / "compose.env").read_text() == (
        f"TOCSIN_UID={owner}\nTOCSIN_GID={group}\nTOCSIN_ISSUER='{ISSUER}'\n"
    )


def test_no_secret_stands_where_it_does_not_belong(secrets_folder: Path) -> None:
    password = (secrets_folder / "valkey.password").read_text()
    seeds = {name: (secrets_folder / name).read_text().strip() for name in ("core.nk", "edge.nk")}
    kek = (secrets_folder / "kek").read_text()
    assert seeds["core.nk"] != seeds["edge.nk"]
    allowed = {
        password: {"valkey.password", "valkey.conf", "redis.url"},
        seeds["core.nk"]: {"core.nk"},
        seeds["edge.nk"]: {"edge.nk"},
        kek: {"kek"},
    }
    files = [path for path in secrets_folder.rglob("*") if path.is_file()]
    for secret, names in allowed.items():
        assert len(secret) >= 40
        assert {path.name for path in files if secret in path.read_text()} == names


def test_each_service_has_a_file_that_its_agent_takes(secrets_folder: Path) -> None:
    keyset = keysets.parse_unverified(newest_keyset(secrets_folder))
    for name in SERVICES:
        path = secrets_folder / f"{name}.tocsin"
        parsed = agent_file.read(path)
        assert (parsed.issuer, parsed.audiences) == (ISSUER, (name,))
        assert parsed.pinned().thumbprints == frozenset(keyset.roots.public_keys())
        assert parsed.address(secrets_folder).credentials == secrets_folder / "edge.nk"
        assert parsed.bus.servers == ("nats://nats:4222",)
        VerifierAgent.from_file(path)


def newest_keyset(folder: Path) -> SignedDocument:
    text = DataDir(folder / "issuer").read_private("keyset.json")
    assert text is not None
    return msgspec.json.decode(text, type=SignedDocument)


def test_the_issuers_folder_opens_with_the_key_outside_of_it(
    secrets_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_KEK_FILE", str(secrets_folder / "kek"))
    folder = IssuerFolder.open(secrets_folder / "issuer")
    try:
        keyset = keysets.parse_unverified(folder.newest_keyset())
        assert (keyset.iss, keyset.issued_at, keyset.policy) == (ISSUER, NOW, POLICY)
        assert folder.ledger_signer(keyset).kid in {key.kid for key in keyset.keys}
        assert len(folder.root_signers()) == 1
    finally:
        folder.close()


def test_the_issuers_folder_alone_is_worth_nothing(
    secrets_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOCSIN_KEK_FILE", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        IssuerFolder.open(secrets_folder / "issuer")
    assert caught.value.code == "kek_missing"


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "empty", "file", "dangling"])
def test_what_is_there_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "secrets"
    if kind == "file":
        folder.write_text("mine")
    elif kind == "dangling":
        folder.symlink_to(tmp_path / "nowhere")
    else:
        folder.mkdir()
    if kind == "full":
        (folder / "kek").write_text("mine")
    with pytest.raises(ConfigurationError) as caught:
        make(folder)
    assert caught.value.code == "secrets_exist"
    if kind == "full":
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("kek", "mine")]


@pytest.mark.parametrize(
    ("issuer", "services"),
    [
        ("", ["orders"]),
        ("http://localhost:8080'\nTOCSIN_UID=0", ["orders"]),
        ("http://localhost/$HOME", ["orders"]),
        ("ftp://localhost", ["orders"]),
        (ISSUER, []),
        (ISSUER, ["orders", "orders"]),
        (ISSUER, ["../orders"]),
        (ISSUER, ["orders\n"]),
        (ISSUER, [""]),
    ],
)
def test_names_that_do_not_fit_are_refused(
    tmp_path: Path, issuer: str, services: list[str]
) -> None:
    folder = tmp_path / "secrets"
    with pytest.raises(ConfigurationError) as caught:
        make_deploy_secrets(folder, issuer=issuer, services=services, policy=POLICY, now=NOW)
    assert caught.value.code == "secrets_invalid"
    assert not folder.exists()


def test_a_key_encryption_key_of_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_KEK_FILE", str(tmp_path / "other"))
    with pytest.raises(ConfigurationError) as caught:
        make(tmp_path / "secrets")
    assert caught.value.code == "kek_elsewhere"
    assert not (tmp_path / "secrets").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError) as caught:
        make(tmp_path / "file" / "secrets")
    assert caught.value.code == "secrets_unusable"


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("tocsin_issuer.keys.ceremony.init", broken)
    with pytest.raises(RuntimeError):
        make(tmp_path / "secrets")
    assert list(tmp_path.iterdir()) == []


# --- NATS ---------------------------------------------------------------------------------------


@pytest.fixture
def nats_server(secrets_folder: Path, tmp_path: Path) -> Iterator[ContainerNats]:
    config = (secrets_folder / "nats.conf").read_text()
    with ContainerNats(tmp_path / "nats", config) as server:
        yield server


async def login(server: ContainerNats, seed: Path | None) -> Client:
    client = Client()
    try:
        await client.connect(
            server.url,
            nkeys_seed=None if seed is None else str(seed),
            allow_reconnect=False,
            connect_timeout=2,
            error_cb=ignore,
        )
    except NatsError:
        await client.close()
        raise
    return client


async def ignore(_: Exception) -> None:
    """The refusals are looked at in the answers."""


@pytest.fixture
async def core(nats_server: ContainerNats, secrets_folder: Path) -> AsyncIterator[Client]:
    client = await login(nats_server, secrets_folder / "core.nk")
    yield client
    await client.close()


@pytest.fixture
async def edge(nats_server: ContainerNats, secrets_folder: Path) -> AsyncIterator[Client]:
    client = await login(nats_server, secrets_folder / "edge.nk")
    yield client
    await client.close()


async def test_both_seeds_log_in_and_edge_hears_core(core: Client, edge: Client) -> None:
    heard = await edge.subscribe(EDGE_SUBJECTS)
    await flushed(edge)
    await core.publish("edge.ledger.tick", b"record")
    await flushed(core)
    assert (await heard.next_msg(timeout=10)).data == b"record"


async def test_core_has_jetstream_and_edge_has_none(core: Client, edge: Client) -> None:
    created = await core.jetstream().add_stream(name=LEDGER_STREAM, subjects=["tocsin.ledger.>"])
    assert created.config.name == LEDGER_STREAM
    with pytest.raises(NatsError):
        await edge.request(f"$JS.API.STREAM.INFO.{LEDGER_STREAM}", timeout=0.3)


async def test_nobody_else_logs_in(nats_server: ContainerNats, tmp_path: Path) -> None:
    with pytest.raises(NatsError, match=r"(?i)authorization violation"):
        await login(nats_server, None)
    stranger = make_stranger(tmp_path)
    with pytest.raises(NatsError, match=r"(?i)authorization violation"):
        await login(nats_server, stranger)


def make_stranger(folder: Path) -> Path:
    with EmbeddedNats(folder / "stranger") as server:
        return server.core_credentials


def test_the_accounts_are_those_of_the_embedded_server(
    secrets_folder: Path, tmp_path: Path
) -> None:
    with EmbeddedNats(tmp_path / "embedded") as server:
        embedded = (server.data_dir.path / "nats-server.conf").read_text()
    container = (secrets_folder / "nats.conf").read_text()
    assert tail(embedded) == tail(container)


def tail(config: str) -> list[str]:
    """From the fsync setting on, without the keys themselves."""
    lines = config[config.index("  sync_interval") :].splitlines()
    return [line for line in lines if "nkey:" not in line]


# --- Valkey -------------------------------------------------------------------------------------


@pytest.fixture
def valkey_server(secrets_folder: Path, tmp_path: Path) -> Iterator[ContainerValkey]:
    config = (secrets_folder / "valkey.conf").read_text()
    password = (secrets_folder / "valkey.password").read_text()
    with ContainerValkey(tmp_path / "valkey", config, password) as server:
        yield server


def test_the_url_holds_the_password_that_valkey_wants(
    valkey_server: ContainerValkey, secrets_folder: Path
) -> None:
    url = urlsplit((secrets_folder / "redis.url").read_text())
    assert (url.scheme, url.hostname, url.port) == ("redis", "valkey", 6379)
    with valkey_server.client(url.password) as client:
        assert client.set("key", "value")
        assert client.config_get("appendfsync", "maxmemory-policy") == {
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
    for wrong in (None, "x" * 64):
        with valkey_server.client(wrong) as client, pytest.raises(redis.AuthenticationError):
            client.get("key")


def test_valkey_is_as_durable_as_the_embedded_one(secrets_folder: Path, tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "embedded") as server:
        embedded = (server.data_dir.path / "valkey.conf").read_text()
    assert settings(embedded) == settings((secrets_folder / "valkey.conf").read_text())


def settings(config: str) -> dict[str, str]:
    parts = dict(line.split(maxsplit=1) for line in config.splitlines())
    return {name: value for name, value in parts.items() if name not in PLACE}


PLACE = {"bind", "port", "dir", "requirepass"}
"""What differs between a container and a child process."""
