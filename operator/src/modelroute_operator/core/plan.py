"""Only what differs gets written, in an order that never names what is not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelroute_operator.core.objects import Objects
from modelroute_operator.core.sealed import Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The managed objects as they are; `credentials` None where the Secret does not exist."""

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    credentials: Mapping[str, Sealed] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What to do, in this order: Secret, ConfigMaps (the index last), deletions."""

    credentials: Mapping[str, Sealed] | None
    """The Secret's new data; None: leave it."""
    config_maps: tuple[tuple[str, Mapping[str, str]], ...]
    deletions: tuple[str, ...]
    """ConfigMaps that no index names any more."""

    def __bool__(self) -> bool:
        """Is there anything to do?"""
        return self.credentials is not None or bool(self.config_maps or self.deletions)


def writes(desired: Objects, observed: Observed) -> Writes:
    """Compares, and orders: values before the lines that need them, shards before the index that names them."""
    changed = [name for name, data in desired.config_maps.items() if observed.config_maps.get(name) != data]
    changed.sort(key=lambda name: (name == desired.index, name))
    same = observed.credentials is desired.credentials or observed.credentials == desired.credentials
    return Writes(
        credentials=None if same else desired.credentials,
        config_maps=tuple((name, desired.config_maps[name]) for name in changed),
        deletions=tuple(sorted(observed.config_maps.keys() - desired.config_maps.keys())),
    )
