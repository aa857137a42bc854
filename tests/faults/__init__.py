"""The fault matrix: real servers, the issuer in processes of its own, killed at a chosen moment.

`python -m tests.faults` runs it by itself.
"""
