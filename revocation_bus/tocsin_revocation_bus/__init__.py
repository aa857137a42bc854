"""The ledger: a signed, hash-chained record of every key and every revocation.

``core`` holds the pure machines: trust, chain, state, lease, and the replica that joins them.
``jetstream`` holds the thin shells that carry them over NATS.
"""
