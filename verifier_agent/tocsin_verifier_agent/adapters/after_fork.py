"""An agent for each worker process of a server that forks."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

from tocsin_verifier_agent import authenticator
from tocsin_verifier_agent.authenticator import Authenticator


class AfterFork:
    """Starts one agent per process, at the latest when it is first asked for.

    Threads and connections do not survive a fork: a process that was forked from one with a running
    agent gets a new agent. ``agent`` is an agent or what makes one; a file is read at once, so that
    its errors show when the application is loaded. With ``start`` False somebody else starts and
    stops it, as where several adapters have one agent.

    Raises:
        ConfigurationError: the file is missing, open to others, or wrong.
    """

    def __init__(
        self, agent: Authenticator | Callable[[], Authenticator] | None, *, start: bool = True
    ) -> None:
        self._make: Callable[[], Authenticator] | None = None
        if agent is None:
            self._make = authenticator.from_file
            self._agent = authenticator.from_file()
        elif callable(agent):
            self._make = agent
            self._agent = agent()
        else:
            self._agent = agent
        self._start = start
        self._lock = threading.Lock()
        self._started_in: int | None = None
        self._was_live = False

    def is_ready(self) -> bool:
        """Whether :meth:`get` answers at once."""
        return not self._start or self._started_in == os.getpid()

    def get(self) -> Authenticator:
        """This process's agent, started; the first time it waits until that is live, or 5 s."""
        if not self.is_ready():
            self.start()
        return self._agent

    def start(self) -> bool:
        """Start this process's agent, once; return whether it was live within 5 s.

        Raises:
            RuntimeError: the one agent that was given ran already before the fork, or somebody else
                has started it.
        """
        with self._lock:
            here = os.getpid()
            if self._started_in == here:
                return self._was_live
            if self._started_in is not None:
                if self._make is None:
                    raise RuntimeError("the agent was started before the fork")
                self._agent = self._make()
            self._was_live = self._agent.start()
            self._started_in = here
            atexit.register(self._stop, self._agent, here)
            return self._was_live

    @staticmethod
    def _stop(agent: Authenticator, started_in: int) -> None:
        if os.getpid() == started_in:
            agent.stop()
