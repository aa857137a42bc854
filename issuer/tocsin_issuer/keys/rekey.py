"""Changing the key-encryption key, so that the old one opens nothing any more."""

from __future__ import annotations

import os
from pathlib import Path

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import ceremony, kek
from tocsin_issuer.keys.kek import KEK_FILE_VARIABLE, KEK_NAME, NEXT_KEK_NAME
from tocsin_issuer.keys.key_store import OLDER_SUFFIX, KeyStore
from tocsin_schemas.errors import ConfigurationError


def rekey(path: Path, new_kek: Path | None) -> int:
    """Seal every private key in an issuer's folder anew; return how many there are.

    With ``new_kek`` the next key comes from that file, which `TOCSIN_KEK_FILE` is to name from then
    on; without it a new one is drawn, which lies in the folder in place of the old one.

    It may die anywhere: until the last step both keys open what is here, and to call it again goes
    on where it was. The issuer must not run meanwhile.

    Raises:
        ConfigurationError: ``kek_elsewhere`` where the key lies outside of the folder and no new
            one is named, ``kek_unchanged``, ``data_dir_in_use``, or as :func:`ceremony.take`,
            :func:`kek.read` and :meth:`KeyStore.load`.
    """
    outside = bool(os.environ.get(KEK_FILE_VARIABLE))
    if outside and new_kek is None:
        raise ConfigurationError(
            "kek_elsewhere", f"{KEK_FILE_VARIABLE} names the key: name the file of the new one"
        )
    root = ceremony.take(path)
    try:
        current = kek.to_replace(root)
        following = _drawn(root) if new_kek is None else kek.read(new_kek)
        if following == current:
            raise ConfigurationError("kek_unchanged", "the new key is the old one")
        count = sum(_seal_anew(folder, current, following) for folder in ceremony.key_folders(root))
        if new_kek is None:
            root.move_private(NEXT_KEK_NAME, KEK_NAME)
        elif not outside:
            root.remove(KEK_NAME)
        return count
    finally:
        root.release()


def _drawn(root: DataDir) -> bytes:
    """The one that an earlier attempt has drawn, or a new one."""
    text = root.read_private(NEXT_KEK_NAME)
    return kek.draw(root, NEXT_KEK_NAME) if text is None else text.encode()


def _seal_anew(folder: DataDir, current: bytes, following: bytes) -> int:
    both, alone = KeyStore(folder, current, following), KeyStore(folder, following)
    for kid in both.kids():
        both.save(both.load(kid))
    for pattern in ("*.new", f"*{OLDER_SUFFIX}"):  # of a save that died, and of an older version
        for left in folder.path.glob(pattern):
            left.unlink()
    for kid in both.kids():
        alone.load(kid)
    return len(both.kids())
