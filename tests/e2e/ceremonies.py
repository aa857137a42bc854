"""Operators who hold a ceremony with the command line, each in a folder of their own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from msgspec import to_builtins

from tests.support.stack import Stack
from tocsin_issuer.keys import draft, root_file
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas.keyset import Keyset

TOCSIN = str(Path(sys.executable).with_name("tocsin"))
PASSPHRASE = "a passphrase for tests"


class Operator:
    """Somebody with a machine; ``folder`` is all of it."""

    def __init__(self, folder: Path, admin_file: Path | None = None) -> None:
        self.folder = folder
        self.folder.mkdir()
        self._environment = {**os.environ}
        if admin_file is not None:
            self._environment["TOCSIN_ADMIN_FILE"] = str(admin_file)
        secret = folder / "passphrase"
        secret.write_text(PASSPHRASE)
        secret.chmod(0o600)

    async def ceremony(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run `tocsin keys ceremony`."""
        return await self.keys("ceremony", *arguments, text=text)

    async def keys(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run `tocsin keys`."""
        done = await asyncio.to_thread(
            subprocess.run,
            [TOCSIN, "keys", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            input=text,
            timeout=60,
            env=self._environment,
            check=False,
        )
        assert PASSPHRASE not in done.stdout + done.stderr
        return done

    async def does(self, *arguments: str, text: str = "") -> str:
        """Run `tocsin keys ceremony`, which succeeds; what it prints."""
        done = await self.ceremony(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def refused(self, *arguments: str) -> str:
        """Run `tocsin keys ceremony`, which fails; the code."""
        done = await self.ceremony(*arguments)
        assert done.returncode == 1, done.stdout
        return done.stderr.strip().rsplit("[", 1)[1].rstrip("]")

    async def make_root(self, alg: str = "RS256") -> None:
        """A root of this operator's own."""
        await self.does("root", "root", "--alg", alg, "--secret-file", "passphrase")

    async def sign(self, draft: Path, *more: str, root: str = "root") -> Path:
        """Sign a draft that somebody has sent; what is sent back."""
        shutil.copy(draft, self.folder / "received.json")
        part = self.folder / "part.json"
        part.unlink(missing_ok=True)
        secret = () if "--secret-file" in more else ("--secret-file", "passphrase")
        said = await self.does(
            "sign", "received.json", "--root", root, "--out", str(part), *secret, *more, text="y\n"
        )
        assert "version" in said  # nobody signs without being shown what
        return part


def development_root(stack: Stack) -> tuple[Path, Path]:
    """The file of the root that `tocsin up` has made, and of the key that opens it."""
    folder = stack.folder / ".tocsin" / "issuer"
    return next((folder / "roots").glob("*.key")), folder / "kek"


def open_root(stack: Stack) -> PrivateKeySigner:
    """That root."""
    path, kek = development_root(stack)
    return root_file.read(path, kek.read_bytes())


async def hold_one(stack: Stack, wanted: dict[str, object]) -> Keyset:
    """A whole ceremony of one, over HTTP; the keyset that is in force now."""
    drafted = await stack.admin("POST", "/admin/keys/drafts", wanted)
    assert drafted.status_code == 201, drafted.text
    read = draft.read_draft(drafted.content)
    document = draft.assemble(read, [draft.sign(read, open_root(stack))])
    answer = await stack.admin("POST", "/admin/keys/keysets", to_builtins(document))
    assert answer.status_code == 200, answer.text
    return read.keyset
