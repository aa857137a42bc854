"""Changing the key-encryption key, so that the old one opens nothing any more."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.key_store import (
    KEK_FILE_VARIABLE,
    KEK_NAME,
    NEXT_KEK_NAME,
    KeyStore,
    read_kek,
)
from tocsin_schemas.errors import ConfigurationError


def rekey(path: Path, new_kek: Path | None) -> int:
    """Encrypt every private key in an issuer's folder anew; return how many there are.

    With ``new_kek`` the next key comes from that file, which `TOCSIN_KEK_FILE` is to name from then
    on; without it a new one is drawn, which lies in the folder in place of the old one.

    It may die anywhere: until the last step both keys open what is here, and to call it again goes
    on where it was. The issuer must not run meanwhile.

    Raises:
        ConfigurationError: ``kek_elsewhere`` where the key lies outside of the folder and no new
            one is named, ``kek_unchanged``, ``data_dir_in_use``, or as :meth:`IssuerFolder.open`
            and :meth:`KeyStore.load`.
    """
    outside = bool(os.environ.get(KEK_FILE_VARIABLE))
    if outside and new_kek is None:
        raise ConfigurationError(
            "kek_elsewhere", f"{KEK_FILE_VARIABLE} names the key: name the file of the new one"
        )
    folder = IssuerFolder.open(path)
    try:
        root = folder.root
        following = _drawn(root) if new_kek is None else read_kek(new_kek)
        current = _current(root, outside)
        if following == current:
            raise ConfigurationError("kek_unchanged", "the new key is the old one")
        count = sum(
            _encrypt_anew(DataDir(store.path), current, following)
            for store in (folder.keys, folder.roots)
        )
        if new_kek is None:
            root.move_private(NEXT_KEK_NAME, KEK_NAME)
        elif not outside:
            root.remove(KEK_NAME)
        return count
    finally:
        folder.close()


def _current(root: DataDir, outside: bool) -> bytes:
    if outside:
        return read_kek(Path(os.environ[KEK_FILE_VARIABLE]))
    return (root.read_private(KEK_NAME) or "").encode()


def _drawn(root: DataDir) -> bytes:
    """The one that an earlier attempt has drawn, or a new one."""
    text = root.read_private(NEXT_KEK_NAME)
    if text is None:
        text = secrets.token_urlsafe(32)
        root.write_private(NEXT_KEK_NAME, text)
    return text.encode()


def _encrypt_anew(folder: DataDir, current: bytes, following: bytes) -> int:
    both, alone = KeyStore(folder, current, following), KeyStore(folder, following)
    for kid in both.kids():
        both.save(both.load(kid))
    for draft in folder.path.glob("*.new"):  # of a save that died, under the old key
        draft.unlink()
    for kid in both.kids():
        alone.load(kid)
    return len(both.kids())
