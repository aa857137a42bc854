"""Mutants of the pure cores. Each function is a context in which one thing is broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from msgspec import UNSET, ValidationError, convert
from msgspec.structs import replace

from tests.simulator.patching import replaced
from tocsin_issuer.core.sequencer import Decision, Sequencer
from tocsin_revocation_bus.core import lease as leases
from tocsin_revocation_bus.core.lease import ClockSync, Lease
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.core.rules import HOUR_S, CutoffRules, Name
from tocsin_revocation_bus.core.state import HORIZON_LAG_S, State, TokenFacts
from tocsin_schemas import base64url, clock_reply, heartbeat, jws, record, strict_json
from tocsin_schemas.errors import AgentStale, LedgerRejected, TocsinError, TokenRejected
from tocsin_schemas.events import KeysetPublished
from tocsin_schemas.heartbeat import Heartbeat
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.record import Record
from tocsin_verifier_agent.core import claims_check, token_verifier
from tocsin_verifier_agent.core.access_token import AccessToken
from tocsin_verifier_agent.core.authority import FOREVER, Authority
from tocsin_verifier_agent.core.claims_check import check_expiry
from tocsin_verifier_agent.core.token_cache import CachedToken
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified

Context = AbstractContextManager[None]
_MILLION = 1_000_000

# --- the lease ----------------------------------------------------------------------------------


def lease_from_receipt() -> Context:
    def renew(self: Lease, clock_id: str, issuer_time: int, now: int, rho_ppm: int) -> bool:
        if not self.knows(clock_id):
            return False
        self.proven_at = now
        return True

    return replaced(Lease, "renew", renew)


def no_head_check() -> Context:
    def renew(self: Replica, now: int) -> None:
        policy = self.trust.policy
        for beat in tuple(self._heartbeats.values()):
            if policy is not None:
                self.lease.renew(beat.clock_id, beat.issuer_time, now, policy.rho_ppm)

    return replaced(Replica, "_renew", renew)


def reply_renews() -> Context:
    original = Replica.apply_clock_reply

    def apply(self: Replica, text: str, now: int, wall: float) -> Outcome:
        outcome = original(self, text, now, wall)
        if outcome is Outcome.APPLIED:
            reply = clock_reply.verify(text, self._usable_ledger_keys(wall))
            sent = self._nonces[reply.nonce]
            self.lease.proven_at = max(sent, self.lease.proven_at or sent)
        return outcome

    return replaced(Replica, "apply_clock_reply", apply)


def unsafe_sign() -> Context:
    def proven_at(sync: ClockSync, issuer_time: int, rho_ppm: int) -> int:
        difference = issuer_time - sync.issuer_time0
        return sync.sent + difference * (_MILLION - 2 * rho_ppm) // _MILLION

    return replaced(leases, "proven_at", proven_at)


def heartbeat_unsigned() -> Context:
    def verify(text: str, ledger_keys: dict[str, PublicKey]) -> Heartbeat:
        try:
            body = jws.split(text)[1]
            members = strict_json.loads_object(base64url.decode(body))
            return convert(members, Heartbeat)
        except (TocsinError, ValidationError):
            raise LedgerRejected("heartbeat_malformed") from None

    return replaced(heartbeat, "verify", verify)


def token_key_signs_heartbeats() -> Context:
    original = Replica._usable_ledger_keys

    def usable(self: Replica, wall: float) -> dict[str, PublicKey]:
        return {**original(self, wall), **self.trust.token_keys}

    return replaced(Replica, "_usable_ledger_keys", usable)


# --- the state ----------------------------------------------------------------------------------


def _drop_before(state: State, utc_s: float) -> None:
    hour = (int(utc_s) - HORIZON_LAG_S) // HOUR_S
    for rules in (state._lanes, state._foreign, state._sessions):
        rules.drop_before(hour)
    for cutoffs in (state._subjects, state._clients, state._everything):
        cutoffs.drop_before(hour)


def gc_by_heartbeat() -> Context:
    original = Replica._note

    def note(self: Replica, beat: Heartbeat) -> None:
        original(self, beat)
        _drop_before(self.state, beat.utc / 1000)

    return replaced(Replica, "_note", note)


def gc_by_wall_clock() -> Context:
    original = Replica.apply_heartbeat

    def apply(self: Replica, text: str, now: int, wall: float) -> Outcome:
        _drop_before(self.state, wall)
        return original(self, text, now, wall)

    return replaced(Replica, "apply_heartbeat", apply)


def rules_mask() -> Context:
    def add(
        self: CutoffRules, digest: bytes, before: int, until: int, name: Name | None = None
    ) -> None:
        self._note(until // HOUR_S, name)
        for bucket in self.buckets.values():
            bucket.pop(digest, None)
        self.buckets.setdefault(until // HOUR_S, {})[digest] = before

    return replaced(CutoffRules, "add", add)


def stale_cache() -> Context:
    original = State.fold

    def fold(self: State, record: Record) -> None:
        generation = self.generation
        original(self, record)
        self.generation = generation

    return replaced(State, "fold", fold)


def key_comes_back() -> Context:
    original = State.fold

    def fold(self: State, record: Record) -> None:
        original(self, record)
        if any(isinstance(event, KeysetPublished) for event in record.events):
            self.revoked_keys.clear()

    return replaced(State, "fold", fold)


# --- the verifier -------------------------------------------------------------------------------


def no_final_clock_read() -> Context:
    original = TokenVerifier.verify

    def verify(self: TokenVerifier, token: str, most: int | None = None) -> Verified:
        clock, quick = self._lease_clock, self._quick_clock
        now, now_quick = clock(), quick()
        self._lease_clock, self._quick_clock = lambda: now, lambda: now_quick
        try:
            return original(self, token, most)
        finally:
            self._lease_clock, self._quick_clock = clock, quick

    return replaced(TokenVerifier, "verify", verify)


def quick_clock_trusted() -> Context:
    return replaced(token_verifier, "_SLOWED", 1.0)


def late_lease_end() -> Context:
    original = TokenVerifier.verify

    class Late:
        """Any lease will do, until the rules have been looked at."""

        def __init__(self, authority: Authority) -> None:
            self._authority = authority

        def __getattr__(self, name: str) -> Any:
            return getattr(self._authority, name)

        def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
            until = self._authority.valid_until(max_staleness_ns, wall)
            return None if until is None else FOREVER

    def verify(self: TokenVerifier, token: str, most: int | None = None) -> Verified:
        authority = self._authority
        late: Any = Late(authority)
        self._authority = late
        try:
            verified = original(self, token, most)
        finally:
            self._authority = authority
        until = authority.valid_until(most, self._wall_clock())
        if until is None or self._lease_clock() > until:
            raise AgentStale("lease_lapsed")
        return verified

    return replaced(TokenVerifier, "verify", verify)


def origin_ignored() -> Context:
    def facts(kid: str, token: AccessToken, *, own_jti: bool) -> TokenFacts:
        return original(kid, replace(token, orig=UNSET), own_jti=own_jti)

    original = claims_check.facts_from
    return replaced(token_verifier, "facts_from", facts)


@contextmanager
def exp_by_wall_clock() -> Iterator[None]:
    def check(exp: int, wall: float, horizon: int) -> None:
        check_expiry(exp, wall, 0)

    with (
        replaced(claims_check, "check_expiry", check),
        replaced(token_verifier, "check_expiry", check),
    ):
        yield


def exp_before_rules_only() -> Context:
    def check(self: TokenVerifier, entry: CachedToken, facts: TokenFacts, wall: float) -> None:
        code = self._rules.why_rejected(facts)
        if code is not None:
            raise TokenRejected(code)

    return replaced(TokenVerifier, "_check_rules", check)


# --- the sequencer ------------------------------------------------------------------------------


def duplicate_is_success() -> Context:
    def on_ack(self: Sequencer, seq: int, *, duplicate: bool) -> Decision:
        append = self._flying()
        return self._committed(append, append.expected_seq if duplicate else seq)

    return replaced(Sequencer, "on_ack", on_ack)


def timeout_is_failure() -> Context:
    original = Sequencer.on_read

    def on_read(self: Sequencer, text: str | None, last_seq: int) -> Decision:
        append = self._flying()
        if not append.is_record:
            return original(self, text, last_seq)
        events = record.parse_unverified(append.text).events
        self._last_seq, self._in_flight = last_seq, None
        again = self.build(events, f"again-{last_seq}", record.parse_unverified(append.text).iat)
        return self.append_record(again)

    return replaced(Sequencer, "on_read", on_read)
