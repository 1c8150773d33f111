"""Secret material in a type that cannot be printed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping


class Sealed:
    """One secret text. `repr`, `str`, f-strings and logs show dots; only `reveal()` shows the value."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Seals `text`."""
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the Secret that is written and for nothing else."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "•••"

    __str__ = __repr__


def digest(values: Mapping[str, Sealed], key: Sealed) -> str:
    """Names a set of secret values without giving anything away: 16 hex digits, keyed, the same in every process."""
    text = json.dumps({name: value.reveal() for name, value in values.items()}, sort_keys=True, separators=(",", ":"))
    return hmac.new(key.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()[:16]
