"""What verifying a token costs: the bare signature, PyJWT, PyJWT and Redis, joserfc, ours."""
