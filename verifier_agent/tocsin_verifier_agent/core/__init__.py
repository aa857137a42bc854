"""The token verifier: pure, with its clocks injected."""
