"""What all simulated APIs share: the time, the addresses, and the key that links are signed with."""

import random
from hashlib import blake2b
from uuid import UUID

from planet_async.clock import Clock
from planet_async.simulator.times import Timeline


class World:
    """The ground that the APIs of one simulator stand on; the same seed gives the same ids and signatures."""

    def __init__(
        self, *, clock: Clock, base_url: str, storage_url: str, link_seconds: float, seed: int
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.storage_url = storage_url.rstrip("/")
        self.link_seconds = link_seconds
        self._random = random.Random(seed)  # noqa: S311 - repeatable ids, not secrets
        self._key = self._random.randbytes(32)
        timeline = Timeline(clock)
        self.now, self.elapsed, self.move_clock = timeline.now, timeline.elapsed, timeline.move

    def new_id(self) -> str:
        """Make the id of something new."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def sign(self, name: str, expires: int) -> str:
        """Give the signature of a name that holds until that moment."""
        return blake2b(f"{expires} {name}".encode(), key=self._key, digest_size=12).hexdigest()
