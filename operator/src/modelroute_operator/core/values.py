"""The values that served routes refer to: where each comes from, who needs it, and what it is now."""

from __future__ import annotations

from collections.abc import Iterable

from modelroute_operator.core.credentials import Credentials, Source
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import SecretId, Snapshot


class Values:
    """The managed Secret's content. A rotated Secret costs its own keys, whatever number of routes uses them."""

    def __init__(self) -> None:
        """Nobody needs anything."""
        self.now: dict[str, Sealed] = {}
        """Key in the managed Secret → value; another object whenever anything in it is different."""
        self._needs: dict[str, dict[str, Source | None]] = {}
        self._needed: dict[str, dict[str, Source | None]] = {}
        self._stale: set[str] = set()

    def need(self, route: str, held: Iterable[Credentials]) -> None:
        """A route needs these from now on, and no others."""
        needs = {key: source for one in held for key, source in one.sources.items()}
        for key in self._needs.pop(route, {}):
            del self._needed[key][route]
            self._stale.add(key)
        if needs:
            self._needs[route] = needs
        for key, source in needs.items():
            self._needed.setdefault(key, {})[route] = source
            self._stale.add(key)

    def update(self, rotated: set[SecretId], snapshot: Snapshot) -> None:
        """Looks up again what changed: by its route, or in its Secret."""
        if rotated:
            self._stale |= {key for key in self._needed if (source := self._source(key)) and source[0] in rotated}
        found = {key: self._value(key, snapshot) for key in self._stale}
        self._stale = set()
        different = {key: value for key, value in found.items() if self.now.get(key) != value}
        if different:
            self.now = {key: value for key, value in {**self.now, **different}.items() if value is not None}

    def _value(self, key: str, snapshot: Snapshot) -> Sealed | None:
        """What the user's Secret says; where it no longer says anything, what was published last; None where nobody needs it."""
        users = self._needed.get(key)
        if not users:
            self._needed.pop(key, None)
            return None
        source = self._source(key)
        value = snapshot.secrets.get(source[0], {}).get(source[1]) if source else None
        return value or snapshot.published.credentials[key]

    def _source(self, key: str) -> Source | None:
        """Where the value comes from: all that have a source have the same, for the key is made of it."""
        return next((source for source in self._needed[key].values() if source), None)
