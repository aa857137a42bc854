"""Other people's identity providers: their keys are fetched here, once, for all verifiers."""
