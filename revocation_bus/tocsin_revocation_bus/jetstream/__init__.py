"""Thin shells that carry the ledger over NATS JetStream; the chain judges what they bring."""
