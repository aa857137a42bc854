"""A token as a seed and a list of operations on it, and how to build it.

Operations are plain JSON, so that a finding can be kept, read and shrunk. Each names the layer that
it works on; layers are built from the inside out, whatever the order in the list. Places are
taken modulo the length of what is there, so that an operation always does something.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from tests.support.forge import b64
from tests.verifier_agent.fuzz.layers import BYTES, MEMBERS, TEXT
from tests.verifier_agent.fuzz.signing import SIGN, SIGNATURE

Op: TypeAlias = tuple[str | int, ...]
Members: TypeAlias = tuple[tuple[str, str], ...]

ALGS = ("RS256", "ES256", "Ed25519")


@dataclass(frozen=True)
class Draft:
    """``alg`` names the key that signs; members are names with the JSON text of their values."""

    seed: str
    alg: str
    header: Members
    payload: Members
    ops: tuple[Op, ...] = ()

    def then(self, *ops: Op) -> Draft:
        return replace(self, ops=self.ops + ops)


def build(draft: Draft) -> str:
    """The token that a draft describes."""
    ops: dict[str, list[Op]] = {}
    for op in draft.ops:
        ops.setdefault(str(op[0]), []).append(op[1:])
    header, payload = _part("header", draft.header, ops), _part("payload", draft.payload, ops)
    head, body = _text("header", header, ops), _text("payload", payload, ops)
    signed = f"{head}.{body}".encode("utf-8", "surrogatepass")
    how = ops.get("sign", [("key", draft.alg)])[-1]
    signature = SIGN[str(how[0])](signed, *how[1:])
    for op in ops.get("signature", ()):
        signature = SIGNATURE[str(op[0])](signature, *op[1:])
    tail = b64(signature)
    for op in ops.get("signature_text", ()):
        tail = TEXT[str(op[0])](tail, *op[1:])
    text = f"{head}.{body}.{tail}"
    for op in ops.get("token", ()):
        text = TEXT[str(op[0])](text, *op[1:])
    return text


def _part(layer: str, members: Members, ops: dict[str, list[Op]]) -> bytes:
    pairs = list(members)
    for op in ops.get(layer, ()):
        MEMBERS[str(op[0])](pairs, *op[1:])
    data = ("{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}").encode(
        "utf-8", "surrogatepass"
    )
    for op in ops.get(f"{layer}_bytes", ()):
        data = BYTES[str(op[0])](data, *op[1:])
    return data


def _text(layer: str, data: bytes, ops: dict[str, list[Op]]) -> str:
    text = b64(data)
    for op in ops.get(f"{layer}_text", ()):
        text = TEXT[str(op[0])](text, *op[1:])
    return text
