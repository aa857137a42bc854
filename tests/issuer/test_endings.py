"""No code ends a session or a token for a reason that is not in the list of endings."""

import ast
from collections.abc import Iterator
from pathlib import Path

import tocsin_issuer
from tocsin_issuer import endings
from tocsin_issuer.endings import ENDINGS, Ending
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    KeyRevoked,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)

ROOT = Path(tocsin_issuer.__file__).parent
DENYING = (
    AllRevokedBefore,
    ClientRevokedBefore,
    KeyRevoked,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)
EVENTS = {kind.__name__ for kind in DENYING}
KIND_OF_CALL = {
    "revoke_sessions": "SessionsRevoked",
    "revoke_tokens": "TokensRevoked",
    "subject": "SubjectRevokedBefore",
    "client": "ClientRevokedBefore",
    "everything": "AllRevokedBefore",
    "revoke_foreign_key": "KeyRevoked",
}
REASON_PLACE = {"everything": 0, "revoke_foreign_key": 2}
PASSED_ON = {"store/revocations.py", "store/cutoffs.py"}
"""They take reason and initiator from their caller."""

FREE = {"revoking/revoker.py": "reason", "revoking/bulk.py": "self.reason"}
"""Where an operator, or another service, gives a reason."""

SILENT = {"set_password", "set_disabled", "renew_secret", "set_keys"}
"""They change an account and tell the ledger nothing."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str, ast.expr]]:
    """Each call that ends something: it, the event's kind, and the expression of the reason."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name in EVENTS:
            (reason,) = (word.value for word in call.keywords if word.arg == "reason")
            yield call, name, reason
        elif name in KIND_OF_CALL and isinstance(call.func, ast.Attribute):
            owner = getattr(call.func.value, "attr", getattr(call.func.value, "id", ""))
            if owner.strip("_") in ("revocations", "cutoffs"):
                yield call, KIND_OF_CALL[name], call.args[REASON_PLACE.get(name, 1)]


def constants(tree: ast.Module) -> dict[str, str]:
    """The texts that the module gives a name."""
    return {
        node.target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def known(reason: ast.expr, kind: str, texts: dict[str, str]) -> bool:
    """Whether the expression is a reason of the list, for an event of that kind."""
    match reason:
        case ast.Constant(value=str(text)):
            pass
        case ast.Name(id=name) if name in texts:
            text = texts[name]
        case ast.Attribute(value=ast.Name(id=name), attr="reason"):
            if name == "ending":  # a parameter of that type
                return True
            ending = getattr(endings, name, None)
            return isinstance(ending, Ending) and ending.kind.__name__ == kind  # type: ignore[union-attr]
        case _:
            return False
    return any(
        ending.reason == text and ending.kind is not None and ending.kind.__name__ == kind
        for ending in ENDINGS
    )


def test_every_reason_in_code_is_in_the_list() -> None:
    found = 0
    strange = []
    for path, tree in sources():
        for call, kind, reason in calls(tree):
            found += 1
            if path in PASSED_ON or FREE.get(path) == ast.unparse(reason):
                continue
            if not known(reason, kind, constants(tree)):
                strange.append(f"{path}:{call.lineno}: {ast.unparse(reason)} for {kind}")
    assert strange == []
    assert found >= 20, "the search itself has come to nothing"


def test_every_ending_is_in_the_list_once() -> None:
    defined = [value for value in vars(endings).values() if isinstance(value, Ending)]
    assert list(ENDINGS) == defined
    assert len({ending.name for ending in ENDINGS}) == len(ENDINGS)
    assert {ending.kind for ending in ENDINGS} == {*DENYING, None}


def test_no_route_changes_an_account_behind_the_ledgers_back() -> None:
    strange = [
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr in SILENT
            or (node.func.attr == "delete" and ast.unparse(node.func.value).endswith("users"))
        )
        and ast.unparse(node.args[-1] if node.args else node.func) != "False"  # enabling
    ]
    assert strange == []
