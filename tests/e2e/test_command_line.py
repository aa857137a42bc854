"""The `tocsin` command as its users run it, each line of failure included."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import find_free
from tests.support.up import TOCSIN, Up, running_up


def run(
    folder: Path, *arguments: str, text: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOCSIN, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        input=text,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    policy = ["--lease-ms", "3000", "--heartbeat-ms", "200"]
    with running_up(tmp_path_factory.mktemp("up"), "orders", options=policy) as up:
        yield up
        children = _children_of(up.process.pid)
        assert len(children) == 2  # nats-server and valkey-server
    assert up.process.returncode == 0, (up.folder / "up.log").read_text()
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.fixture(scope="module")
def folder(up: Up) -> Path:
    """A folder in which `tocsin up` runs."""
    return up.folder


def _children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_check_revoke_and_replay(up: Up) -> None:
    folder, login = up.folder, up.log_in()
    token = login["access_token"]
    checked = run(folder, "token", "check", "-", "--file", "orders.tocsin", text=token)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["claims"]["sid"] == login["session_id"]

    revoked = run(folder, "revoke", "--token", "-", "--reason", "fraud", text=token)
    assert revoked.returncode == 0, revoked.stderr
    event_id = json.loads(revoked.stdout)["event_id"]

    checked = run(folder, "token", "check", "-", "--file", "orders.tocsin", text=token)
    assert checked.returncode == 1
    assert json.loads(checked.stdout) == {"active": False, "code": "token_revoked"}

    replayed = run(folder, "audit", "replay", "--file", "orders.tocsin", "--json")
    assert replayed.returncode == 0, replayed.stderr
    *records, summary = map(json.loads, replayed.stdout.splitlines())
    assert summary["intact"]
    assert summary["records"] == len(records)
    assert event_id in {event["id"] for one in records for event in one["events"] if "id" in event}
    for output in (revoked.stdout, replayed.stdout, checked.stdout):
        assert token not in output


def test_a_dry_run_a_file_and_the_audit_log(up: Up) -> None:
    folder, login = up.folder, up.log_in()
    checked = run(
        folder, "token", "check", "-", "--file", "orders.tocsin", text=login["access_token"]
    )
    claims = json.loads(checked.stdout)["claims"]
    dry = run(folder, "revoke", "--session", claims["sid"], "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout)["tokens"] == {"number": 1, "certainty": "exact"}

    lines = folder / "tokens.txt"
    lines.write_text(f"{claims['jti']} {claims['exp']}\nnonsense\n")
    done = run(folder, "revoke", "--file", "tokens.txt", "--reason", "breach")
    assert (done.returncode, done.stderr) == (1, "line 2: line_malformed\n")
    said = json.loads(done.stdout)
    assert (said["status"], said["accepted"], said["through"]) == ("committed", 1, 2)
    again = run(folder, "revoke", "--file", "-", text=lines.read_text().splitlines()[0])
    assert (again.returncode, again.stderr) == (0, "")
    checked = run(
        folder, "token", "check", "-", "--file", "orders.tocsin", text=login["access_token"]
    )
    assert json.loads(checked.stdout)["code"] == "token_revoked"
    assert failure(run(folder, "revoke", "--file", "none.txt")).endswith("[file_unreadable]")
    assert failure(run(folder, "revoke", "--file", "-", "--reason", "No!")).endswith(
        "[field_invalid]"
    )

    logged = run(folder, "audit", "log", "--json", "--limit", "50")
    assert logged.returncode == 0, logged.stderr
    entries = [json.loads(line) for line in logged.stdout.splitlines()]
    of_bulk = [one for one in entries if one["action"] == "revocation.bulk.end"]
    assert [(one["outcome"], one["count"]) for one in of_bulk] == [("ok", 1), ("ok", 1)]
    assert {one["actor"] for one in of_bulk} == {"operator"}
    assert "revocation.dry-run" in {one["action"] for one in entries}
    assert login["access_token"] not in logged.stdout
    assert "field_invalid" not in logged.stdout
    refused = run(folder, "audit", "log", "--refusals").stdout
    assert "revocation.bulk" in refused


def test_keys(folder: Path) -> None:
    listed = run(folder, "keys", "list", "--json")
    keys = json.loads(listed.stdout)["keys"]
    assert sorted(key["phase"] for key in keys) == ["active", "standby"]
    table = run(folder, "keys", "list", COLUMNS="80").stdout
    assert all(key["kid"] in table for key in keys)
    doctor = run(folder, "doctor")
    assert (doctor.returncode, doctor.stdout) == (0, "keys: ok\n"), doctor.stderr
    rotated = run(folder, "keys", "rotate")
    assert rotated.returncode == 0, rotated.stderr
    assert "retiring" in run(folder, "keys", "list").stdout


def test_the_first_secrets_are_private_and_shown_once(up: Up) -> None:
    folder = up.folder
    password = up.secrets("first-user")["password"]
    assert (folder / "up.out").read_text().count(password) == 1
    assert password not in (folder / "up.log").read_text()
    for path in (folder / ".tocsin").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (folder / "orders.tocsin").stat().st_mode & 0o077 == 0


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """The one clear line of a failure."""
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_folder_in_use(folder: Path) -> None:
    ports = ["--public-port", str(find_free()), "--internal-port", str(find_free())]
    done = run(folder, "up", "--service", "orders", *ports)
    assert failure(done).endswith("[data_dir_in_use]")


def test_a_service_file_with_a_wrong_field_or_mode(folder: Path, tmp_path: Path) -> None:
    text = (folder / "orders.tocsin").read_text()
    wrong = tmp_path / "wrong.tocsin"
    wrong.write_text(text.replace("audiences", "audience"))
    wrong.chmod(0o600)
    line = failure(run(tmp_path, "token", "check", "x", "--file", "wrong.tocsin"))
    assert "audience" in line
    assert line.endswith("[file_malformed]")
    wrong.write_text(text)
    wrong.chmod(0o644)
    assert failure(run(tmp_path, "audit", "replay", "--file", "wrong.tocsin")).endswith(
        "[file_mode]"
    )
    assert failure(run(tmp_path, "token", "check", "x", "--file", "none.tocsin")).endswith(
        "[file_missing]"
    )


def test_missing_keys(tmp_path: Path) -> None:
    made = run(tmp_path, "issuer", "init", "--issuer", "http://i.example", "--dir", "issuer")
    assert made.returncode == 0, made.stderr
    assert failure(
        run(tmp_path, "issuer", "init", "--issuer", "http://i.example", "--dir", "issuer")
    ).endswith("[already_initialised]")
    environment = {
        "TOCSIN_ISSUER": "http://i.example",
        "TOCSIN_AUDIENCES": "orders",
        "TOCSIN_DATA_DIR": "issuer",
        "TOCSIN_NATS_URL": "nats://127.0.0.1:1",
        "TOCSIN_REDIS_URL": "redis://127.0.0.1:1",
    }
    assert failure(run(tmp_path, "issuer", "run", **environment)).endswith("[redis_unavailable]")
    (tmp_path / "issuer" / "kek").unlink()
    assert failure(run(tmp_path, "issuer", "run", **environment)).endswith("[kek_missing]")
    (tmp_path / "issuer" / "keyset.json").unlink()
    assert failure(run(tmp_path, "issuer", "run", **environment)).endswith("[not_initialised]")
    del environment["TOCSIN_ISSUER"]
    assert failure(run(tmp_path, "issuer", "run", **environment)).endswith("[setting_missing]")


def test_an_exchange_policy_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "exchange.toml"
    path.write_text(
        '[clients.orders-service]\nreceives = ["orders"]\n'
        '[clients.orders-service.targets.inventory]\nscopes = ["inventory:read"]\n'
    )
    checked = run(tmp_path, "issuer", "check-exchange", "exchange.toml")
    assert checked.returncode == 0, checked.stderr
    [row] = [line for line in checked.stdout.splitlines() if "orders-service" in line]
    for text in ("orders ", "inventory ", "inventory:read", "300", "no"):
        assert text in row
    as_json = run(tmp_path, "issuer", "check-exchange", "exchange.toml", "--json").stdout
    rule = json.loads(as_json)["clients"]["orders-service"]
    assert rule["targets"]["inventory"]["life_s"] == 300
    path.write_text(path.read_text().replace("receives", "recieves"))
    line = failure(run(tmp_path, "issuer", "check-exchange", "exchange.toml"))
    assert "recieves" in line
    assert line.endswith("[exchange_policy_malformed]")
    line = failure(run(tmp_path, "issuer", "check-exchange", "none.toml"))
    assert line.endswith("[exchange_policy_unreadable]")


def test_nobody_to_administer(tmp_path: Path) -> None:
    assert failure(run(tmp_path, "revoke", "--all")).endswith("[admin_file_missing]")
    assert failure(run(tmp_path, "revoke")).endswith("[usage]")
