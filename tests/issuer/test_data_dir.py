"""One folder, one holder, and nobody else reads it."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from tocsin_issuer.embedded import DataDir, EmbeddedNats, EmbeddedValkey
from tocsin_schemas.errors import ConfigurationError


def test_the_folder_is_made_private(tmp_path: Path) -> None:
    with DataDir(tmp_path / "deep" / "data") as data_dir:
        assert stat.S_IMODE(data_dir.path.stat().st_mode) == 0o700


def test_an_open_folder_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    with DataDir(tmp_path / "data") as data_dir:
        assert stat.S_IMODE(data_dir.path.stat().st_mode) == 0o700


def test_a_second_holder_gets_one_clear_line(tmp_path: Path) -> None:
    with DataDir(tmp_path / "data") as first:
        with pytest.raises(ConfigurationError) as caught, DataDir(tmp_path / "data"):
            pass
        assert caught.value.code == "data_dir_in_use"
        assert str(first.path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with DataDir(tmp_path / "data") as successor:
        assert successor.held


@pytest.mark.parametrize("kind", [EmbeddedNats, EmbeddedValkey])
def test_a_second_server_is_refused_and_the_first_goes_on(
    kind: type[EmbeddedNats] | type[EmbeddedValkey], tmp_path: Path
) -> None:
    with kind(tmp_path / "data") as first:
        second = kind(tmp_path / "data")
        with pytest.raises(ConfigurationError) as caught:
            second.start()
        assert caught.value.code == "data_dir_in_use"
        assert not second.running
        first.kill()  # a dead server's folder is still its owner's, who may restart it
        with pytest.raises(ConfigurationError):
            second.start()
        first.start()


def test_a_server_that_lives_on_keeps_the_folder(tmp_path: Path) -> None:
    """What a child of a killed parent does where the kernel does not end it."""
    holder = DataDir(tmp_path / "data")
    holder.acquire()
    with subprocess.Popen(["sleep", "60"], pass_fds=(holder.lock_fd,)) as orphan:
        holder.release()
        with pytest.raises(ConfigurationError, match="in use"):
            holder.acquire()
        orphan.kill()
    holder.acquire()
    holder.release()


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError) as caught:
        DataDir(tmp_path / "file").acquire()
    assert caught.value.code == "data_dir_unusable"


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    with DataDir(tmp_path / "data") as data_dir:
        assert data_dir.read_private("secret") is None
        data_dir.write_private("secret", "first")
        path = data_dir.write_private("secret", "second")
        assert data_dir.read_private("secret") == "second"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert sorted(path.name for path in data_dir.path.iterdir()) == ["lock", "secret"]


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with DataDir(tmp_path / "data") as data_dir:
        data_dir.write_private("secret", "text").chmod(0o640)
        with pytest.raises(ConfigurationError) as caught:
            data_dir.read_private("secret")
        assert caught.value.code == "secret_file_open"
