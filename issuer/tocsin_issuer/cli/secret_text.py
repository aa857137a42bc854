"""Secrets that a command asks for: from a file, or typed without being shown."""

from pathlib import Path

import typer

from tocsin_schemas.errors import ConfigurationError


def secret_bytes(file: Path | None, prompt: str, *, confirm: bool = False) -> bytes:
    """The secret, without white space around it.

    Raises:
        ConfigurationError: ``secret_unreadable``, ``secret_file_open`` where others may read the
            file, or ``secret_weak`` where it is empty.
    """
    if file is None:
        text: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm)
        return text.encode()
    try:
        mode, secret = file.stat().st_mode, file.read_bytes().strip()
    except OSError:
        raise ConfigurationError("secret_unreadable", f"{file}: cannot read it") from None
    if mode & 0o077:
        raise ConfigurationError("secret_file_open", f"{file}: open to others; chmod 600")
    if not secret:
        raise ConfigurationError("secret_weak", f"{file}: empty")
    return secret
