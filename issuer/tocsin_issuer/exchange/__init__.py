"""Token exchange (RFC 8693): a service trades its caller's token for one with a single audience."""
