"""Watches a whole run for secrets in logs: what was issued or shown in it must stand in none.

Secrets are taken where they pass: every request and answer of httpx and httpx2, and in this process
every access token that is signed, every refresh token, every password that is hashed. Logs are the
records of this process, from DEBUG on where they are ours, and the `*.log` files that child
processes leave below pytest's temporary folder. At the end each word of them is looked up.
"""

from __future__ import annotations

import base64
import functools
import importlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tocsin_issuer.logs import OURS
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.refresh_token import RefreshToken
from tocsin_schemas import jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP

SECRET_MEMBERS = frozenset(
    (
        "access_token",
        "refresh_token",
        "subject_token",
        "actor_token",
        "token",
        "client_secret",
        "client_assertion",
        "password",
        "device_id",
    )
)
MIN_LENGTH = 16
"""Shorter words are no secrets of ours: ``x``, ``wrong``."""

MIN_PHRASE = 10
"""Of a password: shorter ones are words that stand in any log."""

_WORD = re.compile(rf"[A-Za-z0-9_-]{{{MIN_LENGTH},}}")


class Secrets:
    """What must not be found. Of a token, its payload and its signature, each alone."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self.phrases: dict[str, str] = {}

    def add(self, kind: str, text: object) -> None:
        if not isinstance(text, str):
            return
        parts = text.split(".") if kind != "password" else []
        words = parts[1:] if len(parts) == 3 else [text]
        for word in words:
            if _WORD.fullmatch(word):
                self.words[word] = kind
            elif kind == "password" and len(word) >= MIN_PHRASE:
                self.phrases[word] = kind

    def add_members(self, members: object) -> None:
        if isinstance(members, dict):
            for name, value in members.items():
                if name in SECRET_MEMBERS:
                    self.add(name, value)

    def add_body(self, content_type: str, body: bytes) -> None:
        with suppress(ValueError, RecursionError):  # bad input is what many tests send
            if "json" in content_type:
                self.add_members(json.loads(body))
            elif "form" in content_type:
                self.add_members(dict(parse_qsl(body.decode("ascii"))))

    def add_authorization(self, value: str) -> None:
        scheme, _, text = value.partition(" ")
        if scheme.lower() == "bearer":
            self.add("access_token", text)
        if scheme.lower() == "basic":
            self.add("client_secret", text.rstrip("="))
            with suppress(ValueError):  # bad input, again
                self.add("client_secret", base64.b64decode(text).decode().partition(":")[2])

    def found_in(self, text: str) -> Iterator[str]:
        """The kinds of secret that a text holds."""
        for word in set(_WORD.findall(text)) & self.words.keys():
            yield self.words[word]
        for phrase, kind in self.phrases.items():
            if phrase in text:
                yield kind


class _Records(logging.Handler):
    """Each text once, with the test that it was first logged in."""

    def __init__(self) -> None:
        super().__init__()
        self.test = ""
        self.texts: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        # Whatever a record carries could be printed by somebody's formatter.
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        self.texts.setdefault(f"{self.format(record)} {extra or ''}", self.test)


_STANDARD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}


class LeakWatch:
    """A pytest plugin that fails the run where a secret is found."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._secrets = Secrets()
        self._records = _Records()
        self._undo: list[Callable[[], None]] = []
        self._leaks: set[str] = set()
        logging.getLogger().addHandler(self._records)
        for name in OURS:
            logging.getLogger(name).setLevel(logging.DEBUG)
        self._watch()

    # --- taking secrets -------------------------------------------------------------------------

    def _watch(self) -> None:
        secrets = self._secrets

        def signed(text: str, payload: Any, signer: Any, typ: str) -> None:
            if typ == ACCESS_TOKEN_TYP:
                secrets.add("access_token", text)

        self._after(jws, "sign_compact", signed)
        self._after(RefreshToken, "text", lambda text, _: secrets.add("refresh_token", text))
        for name in ("hash", "verify"):
            self._after(Passwords, name, lambda _, *args: secrets.add("password", args[-1]))
        for name in ("httpx", "httpx2"):
            library = importlib.import_module(name)
            self._after(library.Client, "send", self._answered)
            self._after_async(library.AsyncClient, "send", self._answered)

    def _answered(self, response: Any, client: Any, request: Any, **how: Any) -> None:
        secrets = self._secrets
        secrets.add_authorization(response.request.headers.get("authorization", ""))
        for message in (response.request, response):
            if hasattr(message, "_content"):
                secrets.add_body(message.headers.get("content-type", ""), message.content)

    def _after(self, owner: Any, name: str, look: Callable[..., None]) -> None:
        found = owner.__dict__[name]
        original: Any = found.fget if isinstance(found, property) else found

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            look(result, *args, **kwargs)
            return result

        self._replace(owner, name, property(watched) if original is not found else watched)

    def _after_async(self, owner: Any, name: str, look: Callable[..., None]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        async def watched(*args: Any, **kwargs: Any) -> Any:
            result = await original(*args, **kwargs)
            look(result, *args, **kwargs)
            return result

        self._replace(owner, name, watched)

    def _replace(self, owner: Any, name: str, watched: Any) -> None:
        original = owner.__dict__[name]
        setattr(owner, name, watched)
        self._undo.append(lambda: setattr(owner, name, original))

    # --- looking --------------------------------------------------------------------------------

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._records.test = nodeid

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        for undo in reversed(self._undo):
            undo()
        logging.getLogger().removeHandler(self._records)
        found: set[str] = set()
        for text, test in self._records.texts.items():
            found |= {f"{kind} in a log record of {test}" for kind in self._secrets.found_in(text)}
        for path in self._files():
            try:
                text = path.read_text(errors="replace")
            except FileNotFoundError:
                continue  # a folder of an earlier test is just being removed
            found |= {f"{kind} in {path}" for kind in self._secrets.found_in(text)}
        self._leaks |= found
        if self._leaks:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        output: dict[str, object] | None = getattr(self._config, "workeroutput", None)
        if output is not None:  # this is one of pytest-xdist's workers
            output["leaks"] = sorted(self._leaks)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker has found: nobody heeds its own exit status."""
        self._leaks |= set(getattr(node, "workeroutput", {}).get("leaks", ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Where, and of what kind: never the secret."""
        if self._leaks:
            terminalreporter.section("secrets in logs", red=True)
            for leak in sorted(self._leaks):
                terminalreporter.write_line(leak)

    def _files(self) -> list[Path]:
        factory = getattr(self._config, "_tmp_path_factory", None)
        folder = getattr(factory, "_basetemp", None)
        if folder is None or not self._secrets.words:  # only workers have run tests
            return []
        found = [Path(at, name) for at, _, names in os.walk(folder) for name in names]
        return sorted(path for path in found if path.suffix == ".log")
