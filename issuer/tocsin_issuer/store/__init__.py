"""The issuer's state in Redis (Valkey): outbox, journal, register, cutoffs, sessions, accounts."""
