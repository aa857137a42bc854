"""One seeded, single-threaded world that runs the pure cores against an adversary.

``run.run(seed)`` plays one schedule; a violated invariant raises ``Violation`` with seed, step and
the last steps. The same seed replays exactly: nothing here reads a clock or draws from anything but
the world's own ``random.Random``.
"""
