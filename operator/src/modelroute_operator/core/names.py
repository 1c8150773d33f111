"""Who has which name: the oldest claim wins, and a claim that loses one name takes none of its others from anybody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelroute_operator.core import checks
from modelroute_operator.core.checks import Claim, Shared
from modelroute_operator.core.conditions import Problem
from modelroute_operator.core.judge import Judged, first


class Names:
    """The claims to names, and who won them. Claims that share no name, directly or by others, have nothing to do with each other."""

    def __init__(self) -> None:
        """No claims."""
        self.winners: dict[str, Claim] = {}
        """Route key → its claim, for the routes that are served."""
        self.of: dict[str, Claim] = {}
        """Name → the claim of the route that is served under it."""
        self.lost: dict[str, Problem] = {}
        """Route key → why it may not have its names."""
        self.vectors: dict[str, str] = {}
        """Alias → the embedding model it stands for now."""
        self._claimants: dict[str, set[str]] = {}

    def claim(self, claim: Claim) -> None:
        """Enters a claim; `settle` decides it."""
        for name in claim.names:
            self._claimants.setdefault(name, set()).add(claim.route.key)

    def withdraw(self, claim: Claim) -> None:
        """Takes a claim back."""
        key = claim.route.key
        for name in claim.names:
            self._claimants[name].discard(key)
            if not self._claimants[name]:
                del self._claimants[name]
        self._unseat(key)

    def settle(self, names: Iterable[str], judged: Mapping[str, Judged], known: Mapping[str, str]) -> tuple[set[str], set[str]]:
        """Decides the claims to these names, and to all that their claimants claim. `known`: alias → the embedding model it has stood for.

        Returns the routes that were decided, and the names that have another owner than before `names` were touched, or may have.
        """
        keys, reached = self._connected(names, judged)
        for key in keys:
            self._unseat(key)
        owners: dict[str, Claim] = {}
        for claim in sorted((claim for key in keys if (claim := judged[key].claim)), key=lambda c: (c.route.created, c.route.key)):
            key = claim.route.key
            if problem := first(checks.SHARED, Shared(claim=claim, owners=owners, vectors=known)):
                self.lost[key] = problem
                continue
            owners.update((name, claim) for name in claim.names)
            # Where its Secret is missing it keeps its names for when that comes, but nobody answers to them.
            if not any(problem.costs_route for problem in judged[key].problems):
                self._seat(claim)
        return keys, reached

    def _connected(self, names: Iterable[str], judged: Mapping[str, Judged]) -> tuple[set[str], set[str]]:
        keys: set[str] = set()
        reached: set[str] = set()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name in reached:
                continue
            reached.add(name)
            for key in self._claimants.get(name, set()) - keys:
                keys.add(key)
                claim = judged[key].claim
                todo.extend(claim.names if claim else ())
        return keys, reached

    def _seat(self, claim: Claim) -> None:
        self.winners[claim.route.key] = claim
        self.of.update((name, claim) for name in claim.names)
        if embedding := claim.vectors:
            self.vectors.update((alias, embedding) for alias in claim.spec.aliases)

    def _unseat(self, key: str) -> None:
        self.lost.pop(key, None)
        if claim := self.winners.pop(key, None):
            for name in claim.names:
                del self.of[name]
                self.vectors.pop(name, None)
