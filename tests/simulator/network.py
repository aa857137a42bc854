"""The network between the nodes: it delays (sometimes for longer than L), drops and duplicates.

Reordering follows from the delays. A node that is cut off receives and sends nothing.
"""

from collections.abc import Callable, Iterator
from random import Random

from tests.simulator.clock import MILLISECOND
from tests.simulator.profile import Profile


class Network:
    """``at(time, label, action)`` is the world's agenda."""

    def __init__(
        self, rng: Random, profile: Profile, at: Callable[[int, str, Callable[[], None]], None]
    ) -> None:
        self.healed = False
        self._rng = rng
        self._profile = profile
        self._at = at
        self._cut: dict[str, int] = {}

    def cut_off(self, node: str, until: int) -> None:
        """Partition ``node`` from everything until then."""
        self._cut[node] = until

    def heal(self) -> None:
        """No fault from now on."""
        self.healed = True
        self._cut.clear()

    def is_cut(self, node: str, now: int) -> bool:
        """Whether nothing reaches it now."""
        return self._cut.get(node, 0) > now

    def delays(self) -> Iterator[int]:
        """The delay of each copy that gets through: none, one or two."""
        rng, profile = self._rng, self._profile
        if self.healed:
            yield 2 * MILLISECOND
            return
        if rng.random() < profile.drop:
            return
        yield self._delay()
        if rng.random() < profile.duplicate:
            yield self._delay()

    def _delay(self) -> int:
        rng = self._rng
        if rng.random() < self._profile.slow:
            return int(rng.random() * 2.2 * self._profile.lease)
        return int((0.2 + rng.random() * 8) * MILLISECOND)

    def send(self, now: int, node: str, label: str, action: Callable[[], None]) -> None:
        """Run ``action`` where and when a message between ``node`` and the rest arrives."""
        if self.is_cut(node, now):
            return
        for delay in self.delays():
            self._at(now + delay, label, self._unless_cut(node, now + delay, action))

    def _unless_cut(
        self, node: str, arrival: int, action: Callable[[], None]
    ) -> Callable[[], None]:
        def arrive() -> None:
            if not self.is_cut(node, arrival):
                action()

        return arrive
