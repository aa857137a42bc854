"""Where a sidecar may listen, and who may connect."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tocsin_schemas.errors import ConfigurationError
from tocsin_verifier_agent.sidecar.address import (
    BoundSocket,
    TcpAddress,
    UnixAddress,
    parse_listen,
)
from tocsin_verifier_agent.sidecar.client import SidecarClient

SOMEBODY = 54321  # a user id


def test_loopback_alone_unless_it_is_meant() -> None:
    for text, host in (("127.0.0.1:1", "127.0.0.1"), ("[::1]:1", "::1"), ("localhost:1", None)):
        assert parse_listen(text).host == (host or "localhost")
    for text in ("0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1", "127.0.0.1.example.org:1"):
        with pytest.raises(ConfigurationError) as refused:
            parse_listen(text)
        assert refused.value.code == "listen_exposed"
        assert parse_listen(text, anywhere=True).port == 1
    for text in ("127.0.0.1", ":1", "127.0.0.1:x", "127.0.0.1:99999", "127.0.0.1:\u0661"):
        with pytest.raises(ConfigurationError) as refused:
            parse_listen(text)
        assert refused.value.code == "listen_malformed"


def test_a_port_that_is_taken() -> None:
    first = BoundSocket(TcpAddress("127.0.0.1", 0))
    assert isinstance(first.address, TcpAddress)
    assert first.address.port > 0
    with pytest.raises(ConfigurationError) as refused:
        BoundSocket(first.address)
    assert refused.value.code == "port_in_use"
    first.close()


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_the_mode_of_the_socket(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "run" / "s"
    mask = os.umask(0)
    try:
        bound = BoundSocket(UnixAddress(path, mode))
    finally:
        assert os.umask(mask) == 0
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    bound.close()
    assert not path.exists()


def test_nobody_else_may_connect_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, mode: int) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(Path, "chmod", fail)
    mask = os.umask(0)
    try:
        with pytest.raises(ConfigurationError):
            BoundSocket(UnixAddress(tmp_path / "s"))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_modes_that_let_everybody_in(tmp_path: Path) -> None:
    for mode in (0o666, 0o777, 0o601):
        with pytest.raises(ConfigurationError) as refused:
            BoundSocket(UnixAddress(tmp_path / "s", mode))
        assert refused.value.code == "socket_mode"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o2770])
def test_a_folder_that_others_may_write_to(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    for make in (
        lambda: BoundSocket(UnixAddress(folder / "s")),
        lambda: SidecarClient(folder / "s"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            make()
        assert refused.value.code == "socket_folder"
    assert not (folder / "s").exists()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@needs_root
def test_another_users_folder(tmp_path: Path) -> None:
    """He could replace the sidecar's socket; and where he has made it himself, be the sidecar."""
    his = tmp_path / "his" / "run"
    his.mkdir(0o755, parents=True)
    for folder in (his, his.parent):
        os.chown(folder, SOMEBODY, SOMEBODY)
    for make in (lambda: BoundSocket(UnixAddress(his / "s")), lambda: SidecarClient(his / "s")):
        with pytest.raises(ConfigurationError) as refused:
            make()
        assert refused.value.code == "socket_folder"


@needs_root
def test_the_folder_that_root_gave_to_the_sidecars_user(tmp_path: Path) -> None:
    given = tmp_path / "run"
    given.mkdir(0o750)
    os.chown(given, SOMEBODY, SOMEBODY)
    with pytest.raises(ConfigurationError):
        BoundSocket(UnixAddress(given / "s"))
    SidecarClient(given / "s")
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError):
        SidecarClient(given / "s")


def test_what_stands_there_already(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("a file of somebody's")
    with pytest.raises(ConfigurationError) as refused:
        BoundSocket(UnixAddress(path))
    assert (refused.value.code, path.read_text()) == ("socket_path", "a file of somebody's")
    path.unlink()

    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind(str(path))
    left_over.close()
    bound = BoundSocket(UnixAddress(path))
    with pytest.raises(ConfigurationError) as refused:
        BoundSocket(UnixAddress(path))
    assert refused.value.code == "socket_in_use"

    path.unlink()
    another = BoundSocket(UnixAddress(path))
    bound.close()
    assert path.exists(), "the other one's socket stays"
    another.close()
    assert not path.exists()


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        BoundSocket(UnixAddress(tmp_path / ("s" * 110)))
    assert refused.value.code == "socket_path"


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "tocsin_verifier_agent.sidecar"],
        [str(Path(sys.executable).with_name("tocsin")), "sidecar"],
    ],
)
def test_the_commands_refuse_in_one_line(tmp_path: Path, command: list[str]) -> None:
    for more, code in (
        (["--listen", "0.0.0.0:9191"], "listen_exposed"),
        (["--socket", str(tmp_path / "s")], "file_missing"),
    ):
        done = subprocess.run(
            [*command, "--file", str(tmp_path / "none.tocsin"), *more],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("tocsin")
        assert f"[{code}]" in done.stderr
