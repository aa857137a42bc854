"""What a user gets: the wheels, and a verifier alone in an environment of its own."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.closure import closure, copy_distribution
from tests.support import tokens
from tests.support.clock import NOW
from tests.support.keys import public_jwk, signer
from tocsin_schemas import jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP

ROOT = Path(__file__).parents[2]
MEMBERS = ("schemas", "revocation_bus", "verifier_agent", "issuer")
EMBEDDED_IN_A_SERVICE = MEMBERS[:3]
HEAVY = ("redis", "argon2", "fastapi", "starlette", "uvicorn", "faststream", "jwt", "tocsin_issuer")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
UV = (sys.executable, "-m", "uv")

Wheels = dict[str, Path]


def run(*command: str | Path, **options: Any) -> str:
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    output: str = result.stdout
    return output


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    built: Wheels = {}
    for member in MEMBERS:
        folder = tmp_path_factory.mktemp(member)
        run(
            sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, member,
            cwd=ROOT,
        )  # fmt: skip
        [built[member]] = folder.glob("*.whl")
    return built


def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def required(wheel: Path, *, extra: str | None = None) -> set[str]:
    """The names that a wheel requires always, or with one extra alone."""
    names: set[str] = set()
    for text in metadata(wheel).get_all("Requires-Dist", []):
        requirement, _, marker = text.partition(";")
        wanted = "extra" not in marker if extra is None else f"extra == '{extra}'" in marker
        if wanted:
            names.add(re.match(r"[\w.-]+", requirement)[0])  # type: ignore[index]
    return names


# --- the wheels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("member", MEMBERS)
def test_a_wheel_holds_one_package_whole_and_typed(wheels: Wheels, member: str) -> None:
    package = f"tocsin_{member}"
    names = contents(wheels[member])
    assert {name.split("/")[0] for name in names} == {package, f"{package}-{VERSION}.dist-info"}
    assert f"{package}/py.typed" in names
    source = ROOT / member
    expected = {
        str(path.relative_to(source))
        for path in (source / package).rglob("*")
        if path.is_file() and path.suffix in {".py", ".lua", ".typed", ".proto"}
    }
    assert expected <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".tocsin", ".pem", ".nk"))]


def test_the_issuer_carries_its_scripts(wheels: Wheels) -> None:
    scripts = {path.name for path in (ROOT / "issuer/tocsin_issuer/store/lua").glob("*.lua")}
    packed = [name for name in contents(wheels["issuer"]) if name.endswith(".lua")]
    assert scripts
    assert {f"tocsin_issuer/store/lua/{name}" for name in scripts} == set(packed)


def test_the_grpc_code_is_made_from_its_proto(wheels: Wheels, tmp_path: Path) -> None:
    """From a tree without it, as git hands it out."""
    generated = {
        f"tocsin_schemas/auth_v1/auth_{end}" for end in ("pb2.py", "pb2.pyi", "pb2_grpc.py")
    }
    assert generated <= set(contents(wheels["schemas"]))
    source = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", source, ignore=shutil.ignore_patterns("*_pb2*"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source)
    [wheel] = tmp_path.glob("*.whl")
    assert contents(wheel) == contents(wheels["schemas"])


def test_one_version_makes_the_grpc_code_and_runs_it(wheels: Wheels) -> None:
    build = tomllib.loads((ROOT / "schemas" / "pyproject.toml").read_text())["build-system"]
    [version] = [text[14:] for text in build["requires"] if text.startswith("grpcio-tools==")]
    for member in ("schemas", "issuer", "verifier_agent"):
        asked = metadata(wheels[member]).get_all("Requires-Dist", [])
        [grpcio] = [text for text in asked if re.match(r"grpcio[>=]", text)]
        assert grpcio.partition(";")[0].strip() == f"grpcio>={version}", member


def test_what_the_verifier_requires(wheels: Wheels) -> None:
    assert required(wheels["schemas"]) == {"cryptography", "msgspec", "orjson"}
    assert required(wheels["schemas"], extra="grpc") == {"grpcio", "protobuf"}
    assert required(wheels["revocation_bus"]) == {"tocsin-schemas", "nats-py", "pyroaring"}
    assert required(wheels["verifier_agent"]) == {"tocsin-schemas", "tocsin-revocation-bus"}
    extras = {
        "fastapi": {"fastapi"},
        "faststream": {"faststream"},
        "grpc": {"grpcio", "protobuf"},
        "http": {"httpx"},
        "prometheus": {"prometheus-client"},
        "sidecar": {"uvicorn", "httptools", "uvloop"},
        "testing": {"pytest"},
    }
    for extra, names in extras.items():
        assert required(wheels["verifier_agent"], extra=extra) == names
    assert set(metadata(wheels["verifier_agent"]).get_all("Provides-Extra", [])) == set(extras)


@pytest.mark.parametrize("member", MEMBERS)
def test_siblings_are_pinned_to_one_version(wheels: Wheels, member: str) -> None:
    told = metadata(wheels[member])
    assert told["Version"] == VERSION
    for text in told.get_all("Requires-Dist", []):
        if text.startswith("tocsin-"):
            assert re.fullmatch(rf"[a-z-]+(\[[a-z,]+\])?=={re.escape(VERSION)}", text), text


@pytest.mark.parametrize("member", MEMBERS)
def test_a_wheel_says_what_it_is(wheels: Wheels, member: str) -> None:
    told = metadata(wheels[member])
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"
    assert told["Summary"]
    assert str(told.get_payload()).strip()  # the README


def test_the_command_line_tool_comes_with_the_issuer_alone(wheels: Wheels) -> None:
    for member, wheel in wheels.items():
        scripts = [name for name in contents(wheel) if name.endswith("entry_points.txt")]
        assert bool(scripts) is (member == "issuer")


# --- a verifier beside a user's own code --------------------------------------------------------


@pytest.fixture(scope="module")
def python(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the verifier and what it declares."""
    venv = tmp_path_factory.mktemp("clean") / "venv"
    run(*UV, "venv", "--quiet", "--offline", "--no-project", "--python", sys.executable, venv)
    python = venv / "bin" / "python"
    [site_packages] = venv.glob("lib/python*/site-packages")
    mine = [wheels[member] for member in EMBEDDED_IN_A_SERVICE]
    asked_for = [text for wheel in mine for text in metadata(wheel).get_all("Requires-Dist", [])]
    for name in closure(asked_for):
        copy_distribution(name, site_packages)
    run(
        *UV, "pip", "install", "--quiet", "--offline", "--no-index", "--no-deps", "--no-config",
        "--python", python, *mine,
    )  # fmt: skip
    return python


@pytest.fixture
def user_runs(python: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs a user's script, which prints JSON, in a folder with a `schemas.py` of its own."""
    (tmp_path / "schemas.py").write_text("ORDER = 'the schema of an order'\n")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "TOCSIN_"))
    }

    def run_script(text: str, **given: Any) -> Any:
        (tmp_path / "main.py").write_text(text)
        (tmp_path / "given.json").write_text(json.dumps(given))
        return json.loads(
            run(python, "-W", "error", "main.py", cwd=tmp_path, env=environment).splitlines()[-1]
        )

    return run_script


def test_the_environment_is_complete_and_consistent(python: Path) -> None:
    run(*UV, "pip", "check", "--quiet", "--offline", "--no-config", "--python", python)


VERIFY = """\
import json
from pathlib import Path
import schemas
from tocsin_verifier_agent import TokenRejected, Verifier

given = json.loads(Path("given.json").read_bytes())
verifier = Verifier.from_jwks(
    given["jwks"], issuer=given["issuer"], audience=given["audience"], clock=lambda: given["now"]
)
try:
    verifier.verify(given["forged"])
except TokenRejected as error:
    forged = error.code
verified = verifier.verify(given["token"])
print(json.dumps([schemas.ORDER, verified.subject, dict(verified.claims), forged]))
"""


def test_a_token_is_verified_beside_the_users_own_schemas(user_runs: Callable[..., Any]) -> None:
    key, stranger = signer("ES256"), signer("ES256", "stranger")
    claims = tokens.claims()
    mine, subject, read, forged = user_runs(
        VERIFY,
        jwks={"keys": [public_jwk(key)]},
        issuer=tokens.ISSUER,
        audience=tokens.AUDIENCE,
        now=NOW,
        token=jws.sign_compact(claims, key, ACCESS_TOKEN_TYP),
        forged=jws.sign_compact(claims, stranger, ACCESS_TOKEN_TYP),
    )
    assert mine == "the schema of an order"
    assert (subject, read) == (claims["sub"], claims)
    assert forged


IMPORT_ALL = """\
import importlib, importlib.util, json, pkgutil, sys
from pathlib import Path
import tocsin_revocation_bus, tocsin_schemas, tocsin_verifier_agent

given = json.loads(Path("given.json").read_bytes())
for package in (tocsin_schemas, tocsin_revocation_bus, tocsin_verifier_agent):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name not in given["adapters"] and not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
found = [name for name in given["heavy"] if importlib.util.find_spec(name)]
print(json.dumps([found, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def test_every_module_imports_without_what_a_service_does_not_want(
    wheels: Wheels, user_runs: Callable[..., Any]
) -> None:
    """All but those that the import contracts let ask for an extra: no module hides an import."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    edges = [edge for one in contracts["contracts"] for edge in one.get("ignore_imports", ())]
    adapters = sorted({edge.split(" -> ")[0] for edge in edges})
    found, imported = user_runs(IMPORT_ALL, heavy=HEAVY, adapters=adapters)
    assert found == []
    assert {"tocsin_schemas", "tocsin_revocation_bus", "nats"} <= set(imported)


def test_the_adapter_asks_for_its_extra(user_runs: Callable[..., Any]) -> None:
    missing = user_runs("""\
import json
try:
    import tocsin_verifier_agent.fastapi
except ModuleNotFoundError as error:
    print(json.dumps(error.name))
""")
    assert missing == "fastapi"
