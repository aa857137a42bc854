"""A differential fuzzer: our verifier against PyJWT and joserfc.

It starts from descriptions of tokens (``corpus/``), changes them at every layer by the operations
in ``draft`` and ``mutate``, and asks all three. What ours accepts the others must accept with the
same claims, but for the ``differences``; what both others accept and ours refuses must be refused
for one of the reasons written down there. ``python -m tests.verifier_agent.fuzz`` runs it for
longer.
"""
