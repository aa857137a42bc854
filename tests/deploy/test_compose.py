"""No Docker engine is needed here: the files are read, and held to what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.secrets_folder import ISSUER, SERVICES
from tocsin_issuer.deploy_secrets import NATS_URL

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = "volume-owner"
SERVERS = sorted(CONTAINERS.keys() - {ONE_SHOT})
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))

ISSUER_ENVIRONMENT = {
    "TOCSIN_ISSUER",
    "TOCSIN_DATA_DIR",
    "TOCSIN_NATS_URL",
    "TOCSIN_NATS_CREDENTIALS_FILE",
    "TOCSIN_REDIS_URL_FILE",
    "TOCSIN_KEK_FILE",
    "TOCSIN_PUBLIC_HOST",
    "TOCSIN_PUBLIC_PORT",
    "TOCSIN_INTERNAL_HOST",
    "TOCSIN_INTERNAL_PORT",
    "TOCSIN_AUDIENCES",
}


def strings(value: object) -> Iterator[str]:
    """Every string in a parsed document, keys included."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from strings(key)
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)
    elif isinstance(value, str):
        yield value


# --- what the compose file names exists ---------------------------------------------------------


def test_the_containers() -> None:
    assert set(SERVERS) == {"nats", "valkey", "issuer", *SERVICES}
    assert COMPOSE["x-hardened"]  # the root keys that start with x- are fragments


def test_every_secret_is_made_and_every_file_made_for_a_container_is_used(
    secrets_folder: Path,
) -> None:
    sources = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert all(file == f"./docker/secrets/{name}" for name, file in sources.items())
    made = {path.name for path in secrets_folder.iterdir()}
    assert set(sources) | {"issuer", "compose.env"} == made


def test_every_secret_is_declared_and_given_to_somebody() -> None:
    given = {name for container in CONTAINERS.values() for name in container.get("secrets", [])}
    assert given == set(COMPOSE["secrets"])


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_every_path_below_the_secrets_is_one_of_the_containers_own(name: str) -> None:
    container = CONTAINERS[name]
    named = re.findall(r"/run/secrets/([\w.-]+)", "\n".join(strings(container)))
    own = set(container.get("secrets", []))
    assert set(named) <= own
    # The agent finds its credentials beside its file.
    assert own - set(named) == ({"edge.nk"} if name in SERVICES else set())


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_every_volume_network_and_dependency_is_declared(name: str) -> None:
    container = CONTAINERS[name]
    for volume in container.get("volumes", []):
        if isinstance(volume, str):
            assert volume.split(":")[0] in COMPOSE["volumes"]
        elif volume["type"] == "volume":
            assert volume["source"] in COMPOSE["volumes"]
        else:
            assert volume["source"] == "./docker/secrets/issuer"
            assert volume["bind"] == {"create_host_path": False}
    assert set(container.get("networks", [])) <= set(COMPOSE["networks"])
    for other, how in container.get("depends_on", {}).items():
        condition = "completed_successfully" if other == ONE_SHOT else "healthy"
        assert other in CONTAINERS
        assert how == {"condition": f"service_{condition}"}


def test_images_are_pinned_and_builds_exist() -> None:
    for container in CONTAINERS.values():
        if "build" in container:
            assert container["build"]["context"] == "."
            assert (ROOT / container["build"]["dockerfile"]) in DOCKERFILES
        else:
            assert re.fullmatch(r"[a-z/]+:\d[\w.-]+", container["image"])


def test_the_variables_are_those_of_the_environment_file(secrets_folder: Path) -> None:
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+)", "\n".join(strings(COMPOSE))))
    lines = (secrets_folder / "compose.env").read_text().splitlines()
    assert wanted == {line.partition("=")[0] for line in lines}
    # Each has no default: without the environment file Compose stops.
    assert "${" not in re.sub(r"\$\{\w+:\?[^}]*\}", "", "\n".join(strings(COMPOSE)))


# --- what the containers may do -----------------------------------------------------------------


@pytest.mark.parametrize("name", SERVERS)
def test_every_server_is_confined_and_watched(name: str) -> None:
    container = CONTAINERS[name]
    assert container["user"].startswith("${TOCSIN_UID:?")
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert "cap_add" not in container
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert container["restart"] == "unless-stopped"


def test_root_only_hands_volumes_over() -> None:
    container = CONTAINERS[ONE_SHOT]
    assert container["entrypoint"][0] == "chown"
    assert (container["cap_drop"], container["cap_add"]) == (["ALL"], ["CHOWN"])
    assert (container["network_mode"], container["restart"]) == ("none", "no")
    assert container["read_only"] is True
    assert {name for name, other in CONTAINERS.items() if other.get("user") == "0:0"} == {ONE_SHOT}


def test_what_is_published_is_on_loopback() -> None:
    published = {name: other["ports"] for name, other in CONTAINERS.items() if "ports" in other}
    assert published.keys() == {"issuer", *SERVICES}
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_the_servers_have_no_way_out_and_services_none_to_valkey() -> None:
    networks = {name: set(CONTAINERS[name]["networks"]) for name in SERVERS}
    assert networks["nats"] == {"bus"}
    assert networks["valkey"] == {"state"}
    assert {name for name, joined in networks.items() if "state" in joined} == {"valkey", "issuer"}
    assert COMPOSE["networks"]["bus"] == COMPOSE["networks"]["state"] == {"internal": True}


# --- the environment ----------------------------------------------------------------------------


def test_the_issuers_environment() -> None:
    environment = CONTAINERS["issuer"]["environment"]
    assert environment.keys() == ISSUER_ENVIRONMENT
    assert environment["TOCSIN_NATS_URL"] == NATS_URL
    assert environment["TOCSIN_AUDIENCES"].split(",") == list(SERVICES)
    assert CONTAINERS["issuer"]["volumes"][0]["target"] == environment["TOCSIN_DATA_DIR"]
    assert CONTAINERS["issuer"]["ports"] == [f"127.0.0.1:8080:{environment['TOCSIN_PUBLIC_PORT']}"]


@pytest.mark.parametrize("name", SERVICES)
def test_the_services_environment(name: str) -> None:
    assert CONTAINERS[name]["environment"] == {"TOCSIN_FILE": f"/run/secrets/{name}.tocsin"}
    module, _, attribute = CONTAINERS[name]["command"][1].partition(":")
    source = ROOT / Path(*module.split(".")).with_suffix(".py")
    assert re.search(rf"^{attribute} = ", source.read_text(), re.MULTILINE)


def test_no_secret_stands_in_the_open(secrets_folder: Path) -> None:
    for text in strings(COMPOSE):
        assert not re.search(r"(?i)(password|secret|seed|token)\w*\s*[=:]\s*[^$\s]", text), text
        assert not re.search(r"[A-Za-z0-9_-]{40,}", text), text
    for container in CONTAINERS.values():
        for name in container.get("environment", {}):
            assert not re.search(r"(?i)(password|secret|seed|key|_url)$", name) or (
                name == "TOCSIN_NATS_URL"
            )


def test_the_readme_and_the_compose_file_show_the_same_commands() -> None:
    readme = (ROOT / "docker" / "README.md").read_text()
    command = f"tocsin issuer secrets --dir docker/secrets --issuer {ISSUER} " + " ".join(
        f"--service {name}" for name in SERVICES
    )
    up = "docker compose --env-file docker/secrets/compose.env up --build --detach"
    for text in (readme, (ROOT / "compose.yaml").read_text()):
        flat = " ".join(re.sub(r"^#|\\$", "", text, flags=re.MULTILINE).split())
        assert command in flat
        assert up in flat


# --- the health checks --------------------------------------------------------------------------


class Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.mark.parametrize("name", ["issuer", *SERVICES])
def test_the_health_check_asks_the_port_that_is_served(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # Docker can hand one to containers
    how, python, flag, code = CONTAINERS[name]["healthcheck"]["test"]
    assert (how, python, flag) == ("CMD", "python", "-c")
    port = CONTAINERS[name]["ports"][0].rpartition(":")[2]
    assert code.count(f":{port}/") == 1
    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            code = code.replace(f":{port}/", f":{server.server_port}/")
            for status, healthy in ((200, True), (503, False)):
                monkeypatch.setattr(Health, "status", status)
                asked = subprocess.run([sys.executable, "-c", code], capture_output=True)
                assert (asked.returncode == 0) is healthy, asked.stderr
        finally:
            server.shutdown()
            thread.join()


def test_the_health_checks_of_the_servers(secrets_folder: Path) -> None:
    url = CONTAINERS["nats"]["healthcheck"]["test"][-1]
    assert url == "http://127.0.0.1:8222/healthz?js-enabled-only=true"
    assert 'http: "127.0.0.1:8222"' in (secrets_folder / "nats.conf").read_text()
    [how, line] = CONTAINERS["valkey"]["healthcheck"]["test"]
    assert how == "CMD-SHELL"
    assert "valkey-cli -h 127.0.0.1 ping" in line
    assert " -a " not in line


def test_the_health_check_of_valkey_gives_the_password_through_the_environment(
    tmp_path: Path,
) -> None:
    """With a stand-in for valkey-cli, which is not in the wheel."""
    (tmp_path / "valkey.password").write_text("s3cret")
    client = tmp_path / "valkey-cli"
    client.write_text(
        '#!/bin/sh\n[ "$VALKEYCLI_AUTH $*" = "s3cret -h 127.0.0.1 ping" ] && echo PONG\n'
    )
    client.chmod(0o700)
    line = CONTAINERS["valkey"]["healthcheck"]["test"][1].replace("$$", "$")
    line = line.replace("/run/secrets", str(tmp_path))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert subprocess.run(["sh", "-c", line], env=environment).returncode == 0
    (tmp_path / "valkey.password").write_text("wrong")
    assert subprocess.run(["sh", "-c", line], env=environment).returncode != 0


# --- the images ---------------------------------------------------------------------------------


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Instruction and rest, continued lines joined, comments dropped."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_base_images_are_pinned_and_nobody_is_root(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    bases = [rest.split()[0] for name, rest in steps if name == "FROM"]
    assert len(bases) == 2
    assert set(bases) == {"python:3.12-slim"}
    last = max(index for index, (name, _) in enumerate(steps) if name == "FROM")
    users = [rest for name, rest in steps[last:] if name == "USER"]
    assert users == ["10001:10001"]
    assert not [rest for name, rest in steps[last:] if name == "RUN"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_exists_and_reaches_the_builder(dockerfile: Path) -> None:
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name, rest in instructions(dockerfile):
        if name == "COPY" and not rest.startswith("--from=build"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert any(source == path or source.startswith(f"{path}/") for path in allowed)
        assert name != "ADD"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_everything_downloaded_is_checked_against_the_lock(dockerfile: Path) -> None:
    runs = " && ".join(rest for name, rest in instructions(dockerfile) if name == "RUN")
    installs = [
        part for part in runs.split("&&") if re.search(r"\bpip\b.*\b(install|wheel)\b", part)
    ]
    assert len(installs) == 4
    for part in installs:
        assert ("--require-hashes" in part) is not ("--no-index" in part)


def test_the_builder_sees_no_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    assert not any("secrets" in pattern for pattern in patterns)
    assert "!docker" not in patterns
    assert "**/*.tocsin" in patterns


def test_the_image_of_a_service_holds_no_issuer() -> None:
    text = (ROOT / "docker" / "service.Dockerfile").read_text()
    assert not [
        rest
        for name, rest in instructions(ROOT / "docker" / "service.Dockerfile")
        if name == "COPY" and "issuer" in rest
    ]
    assert "tocsin-issuer" not in text


def test_git_ignores_the_secrets() -> None:
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
