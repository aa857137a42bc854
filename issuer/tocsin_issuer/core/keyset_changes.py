"""What a keyset changes against the one before it, in lines that a person reads before signing."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import to_builtins

from tocsin_schemas.keyset import Keyset, KeysetKey

TimeText = Callable[[int], str]
_WINDOWS = ("publish_at", "sign_from", "sign_until", "verify_until")


def changes(before: Keyset | None, after: Keyset, time_text: TimeText) -> list[str]:
    """One line for each change. ``time_text`` writes seconds of UTC."""
    lines = [f"issuer   {after.iss}"]
    if before is None:
        lines.append(f"version  {after.version}, the first")
        lines.append(f"expires  {time_text(after.expires_at)}")
    else:
        lines.append(f"version  {before.version} -> {after.version}")
        was, will = time_text(before.expires_at), time_text(after.expires_at)
        lines.append(f"expires  {was} -> {will}")
    lines += _roots(before, after)
    lines += _members("policy", _policy(before), _policy(after))
    lines += _keys(before, after, time_text)
    lines += _foreign(before, after)
    return lines


def _roots(before: Keyset | None, after: Keyset) -> Iterator[str]:
    was = {} if before is None else before.roots.public_keys()
    will = after.roots.public_keys()
    yield from _names("root", was, will)
    threshold = 0 if before is None else before.roots.threshold
    if (threshold, len(was)) != (after.roots.threshold, len(will)):
        old = f"{threshold} of {len(was)} -> " if before is not None else ""
        yield f"roots    {old}{after.roots.threshold} of {len(will)} must sign"


def _names(kind: str, was: Mapping[str, Any], will: Mapping[str, Any]) -> Iterator[str]:
    for kid in sorted(was.keys() - will.keys()):
        yield f"{kind:8} - {kid}"
    for kid in sorted(will.keys() - was.keys()):
        yield f"{kind:8} + {kid}"


def _policy(keyset: Keyset | None) -> dict[str, Any]:
    return {} if keyset is None else to_builtins(keyset.policy)


def _members(kind: str, was: Mapping[str, Any], will: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(will):
        if was.get(name) != will[name]:
            old = f"{was[name]} -> " if name in was else ""
            yield f"{kind:8} {name} {old}{will[name]}"


def _keys(before: Keyset | None, after: Keyset, time_text: TimeText) -> Iterator[str]:
    was = {} if before is None else {key.kid: key for key in before.keys}
    will = {key.kid: key for key in after.keys}
    for key in was.values():
        if key.kid not in will:
            yield f"{key.use:8} - {key.kid} {key.alg}"
    for key in will.values():
        old = was.get(key.kid)
        if old is None:
            yield f"{key.use:8} + {key.kid} {key.alg}, {_windows(key, time_text)}"
        elif old != key:
            yield f"{key.use:8} ~ {key.kid} {key.alg}, {_moved(old, key, time_text)}"


def _windows(key: KeysetKey, time_text: TimeText) -> str:
    return (
        f"signs {time_text(key.sign_from)} to {time_text(key.sign_until)}, "
        f"good until {time_text(key.verify_until)}"
    )


def _moved(old: KeysetKey, new: KeysetKey, time_text: TimeText) -> str:
    moved = [
        f"{name} {time_text(getattr(old, name))} -> {time_text(getattr(new, name))}"
        for name in _WINDOWS
        if getattr(old, name) != getattr(new, name)
    ]
    if (old.use, old.alg, old.jwk) != (new.use, new.alg, new.jwk):
        moved.append("ANOTHER KEY OR USE UNDER THIS NAME")
    return ", ".join(moved)


def _foreign(before: Keyset | None, after: Keyset) -> Iterator[str]:
    was = {} if before is None else {one.iss: one for one in before.foreign_issuers}
    will = {one.iss: one for one in after.foreign_issuers}
    yield from _names("foreign", was, will)
    for iss in sorted(was.keys() & will.keys()):
        if was[iss] != will[iss]:
            yield f"foreign  ~ {iss}"
