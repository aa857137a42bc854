"""Rules that are not lanes, in buckets by the hour in which they end.

A whole bucket goes at once, when the ledger's own time has passed its last second, so that
forgetting costs the same however many rules there are. The dict of buckets is never changed, only
replaced: verifying threads walk it while the writer folds.
"""

from collections.abc import Iterator
from hashlib import sha256

HOUR_S = 3600


def digest_of(identifier: str) -> bytes:
    """16 bytes that stand for a foreign jti, a sid, a sub or a client."""
    return sha256(identifier.encode()).digest()[:16]


class DigestRules:
    """Revoked identifiers."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[bytes]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, digest: bytes, until: int) -> None:
        """Revoke an identifier until ``until`` (seconds of UTC), or a little longer."""
        hour = until // HOUR_S
        if hour not in self._buckets:
            self._buckets = {**self._buckets, hour: set()}
        self._buckets[hour].add(digest)

    def __contains__(self, digest: bytes) -> bool:
        for bucket in self._buckets.values():  # noqa: SIM110 (asked for every token)
            if digest in bucket:
                return True
        return False

    def drop_before(self, hour: int) -> None:
        """Forget the rules that ended before ``hour`` (hours since the epoch)."""
        self._buckets = {end: rules for end, rules in self._buckets.items() if end >= hour}

    def canonical(self) -> Iterator[bytes]:
        """The canonical form, sorted."""
        for hour in sorted(self._buckets):
            for digest in sorted(self._buckets[hour]):
                yield hour.to_bytes(4) + digest


class CutoffRules:
    """Cutoffs: whatever was issued to the identifier before a time is revoked."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[bytes, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, digest: bytes, before: int, until: int) -> None:
        """Revoke what was issued before ``before``; both times are seconds of UTC."""
        hour = until // HOUR_S
        if hour not in self._buckets:
            self._buckets = {**self._buckets, hour: {}}
        bucket = self._buckets[hour]
        bucket[digest] = max(before, bucket.get(digest, 0))

    def hits(self, digest: bytes, iat: int) -> bool:
        """Whether a token issued at ``iat`` is before a cutoff."""
        for bucket in self._buckets.values():  # noqa: SIM110 (asked for every token)
            if iat < bucket.get(digest, 0):
                return True
        return False

    def drop_before(self, hour: int) -> None:
        """Forget the rules that ended before ``hour`` (hours since the epoch)."""
        self._buckets = {end: rules for end, rules in self._buckets.items() if end >= hour}

    def canonical(self) -> Iterator[bytes]:
        """The canonical form, sorted."""
        for hour in sorted(self._buckets):
            bucket = self._buckets[hour]
            for digest in sorted(bucket):
                yield hour.to_bytes(4) + digest + bucket[digest].to_bytes(8)
