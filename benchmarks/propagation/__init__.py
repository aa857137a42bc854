"""From a revocation's PubAck to the last agent's refusal, beside bare core-NATS subscribers."""
