"""Which publication first held a route's present line, and which one a proxy serves: so that a change of one route asks nothing of the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from modelroute_operator.core.delta import take_over

REMEMBERED = 4096
"""Digests kept; a proxy that serves an older one counts as serving nothing known."""


class History:
    """Numbers the publications. Equal digests mean equal configurations, so a digest stands for its latest number."""

    def __init__(self) -> None:
        """Starts with no publication."""
        self.sequence = 0
        self._lines: dict[str, str] = {}
        self._since: dict[str, int] = {}
        self._of_digest: dict[str, int] = {}

    def publish(self, digest: str, lines: Mapping[str, str], changed: Collection[str] | None = None) -> int:
        """Notes what the managed objects now hold. Returns the publication's number; publishing the same again changes nothing.

        `changed`: the lines that may differ from the last publication's; None: any.
        """
        if self.sequence and self._of_digest.get(digest) == self.sequence:
            return self.sequence
        self.sequence += 1
        for key in take_over(self._lines, lines, changed):
            if key in lines:
                self._since[key] = self.sequence
            else:
                del self._since[key]
        self._of_digest.pop(digest, None)
        self._of_digest[digest] = self.sequence
        if len(self._of_digest) > REMEMBERED:
            self._of_digest.pop(next(iter(self._of_digest)))
        return self.sequence

    def since(self, key: str) -> int | None:
        """The publication that first held the route's present line; None: it is in none."""
        return self._since.get(key)

    def line(self, key: str) -> str | None:
        """The route's line as published."""
        return self._lines.get(key)

    def number_of(self, digest: str) -> int:
        """The publication a digest stands for; 0 for one not known."""
        return self._of_digest.get(digest, 0)
