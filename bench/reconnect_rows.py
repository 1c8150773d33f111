"""A proxy whose watch is cut: does it serve what changed meanwhile, and how soon after it may read again?

Against the plugin's test API server, which can do on command what a real one does once a week.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from contract.plugin.api_server import ApiServer
from contract.plugin.provider import CREDENTIALS, Simulator
from contract.plugin.world import Configuration, Directory, Proxy, eventually
from rows import Row, Scale, at_most, milliseconds, p

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the test API server stops with connections open, which asyncio tells at length

FAMILIES = ("reconnect",)
ROUTES = 200
AWAY_SECONDS = 0.5
BAR_SECONDS = 1.0
"""Of being behind after the API server is back: the issue asks for no gap; more would be one to a user."""


class Cut:
    """The proxy, its API server, and the ways in which they are separated."""

    def __init__(self, folder: Path, generation: str, provider: Simulator) -> None:
        """Boots the proxy."""
        (folder / "account").mkdir(parents=True)
        self.api, self.provider, self.number = ApiServer(folder / "account"), provider, 0
        self.api.forbidden = False
        self.api.write(self._configuration(), CREDENTIALS)
        directory = Directory(path=folder / "pod")
        self.proxy = Proxy(generation=generation, directory=directory, simulator=provider, environment=self.api.environment())
        self.proxy.wait_until_ready()
        self._confirmed()

    def stop(self) -> None:
        """Ended."""
        self.proxy.stop()
        self.api.stop()

    def _configuration(self) -> Configuration:
        routes = [self.provider.route(f"route-{n}", f"upstream-{n}-{self.number}" if n % 7 == self.number % 7 else f"upstream-{n}") for n in range(ROUTES)]
        return Configuration.of(routes, CREDENTIALS, 8)

    def _confirmed(self) -> None:
        """The digest is computed from the bytes that the proxy serves: an equal one means equal bytes."""
        self.proxy.confirmed(self._configuration().digest)

    def _change(self) -> None:
        self.number += 1
        self.api.write(self._configuration(), CREDENTIALS)

    def reset(self) -> float:
        """The connection is reset while three changes come."""
        self.api.cut()
        for _ in range(3):
            self._change()
        return self._seconds_to_catch_up()

    def gone(self) -> float:
        """Reset, and the version to go on from is compacted meanwhile: 410 Gone."""
        self.api.down = True
        self.api.cut()
        self._change()
        self.api.compact()
        self.api.down = False
        return self._seconds_to_catch_up()

    def away(self) -> float:
        """The API server is away for a while (503 to all), as while it restarts; versions are compacted."""
        self.api.down = True
        self.api.cut()
        for _ in range(3):
            self._change()
        self.api.compact()
        time.sleep(AWAY_SECONDS)
        self.api.down = False
        return self._seconds_to_catch_up()

    def _seconds_to_catch_up(self) -> float:
        began = time.perf_counter()
        self._confirmed()
        seconds = time.perf_counter() - began
        route = next(n for n in range(ROUTES) if n % 7 == self.number % 7)
        assert self.proxy.answer(f"route-{route}") == f"azure upstream-{route}-{self.number} says: Hello"
        return seconds


def rows(scale: Scale, wanted: set[str], say: Callable[[str], None]) -> Iterator[Row]:
    """One a way of being cut."""
    if not wanted & set(FAMILIES):
        return
    provider = Simulator()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        cut = None
        try:
            provider.reset()
            cut = Cut(Path(folder), "1.108", provider)
            eventually(lambda: cut.proxy.status()["source"] == "watch")
            for what, way in (("connection reset", cut.reset), ("410 Gone", cut.gone), ("API server restarted", cut.away)):
                began = time.monotonic()
                seconds = [way() for _ in range(scale.cuts)]
                say(f"watch cut, {what}: {time.monotonic() - began:.0f} s")
                detail: dict[str, Any] = {**milliseconds(seconds), "same_bytes": True, "gaps": 0}
                yield at_most("reconnect", f"watch cut ({what}), same bytes again after, p95", p(95, seconds), BAR_SECONDS, scale.cuts, unit="s", **detail)
        finally:
            if cut:
                cut.stop()
            provider.stop()
