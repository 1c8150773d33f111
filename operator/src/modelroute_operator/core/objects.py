"""The bytes of the managed objects: index, shards, credentials; and their digests.

Formats: `index.json` {version, shards: {file: {configMap, digest}}, credentials, digest, vectors};
`routes-NN.json` {key: line, …}, one route a line, sorted, valid JSON as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from modelroute_operator.core import sealed
from modelroute_operator.core.sealed import Sealed

INDEX = "index.json"
MAX_SHARDS = 32
"""As many as the chart mounts and its Role names (a chart test compares)."""
SHARD_TARGET = 96 * 1024
"""Bytes a shard should stay under: a change transfers one shard to every replica."""
SHARD_LIMIT = 512 * 1024
"""Bytes a shard must stay under; with the index and metadata far from the 1 MiB the API server takes."""
CREDENTIALS_LIMIT = 700 * 1024
"""Bytes of all keys and values: base64 makes a third more of them, and a Secret ends at 1 MiB."""


class FullError(Exception):
    """The configuration does not fit in its objects; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The index, read back."""

    shards: Mapping[str, str]
    """File → the ConfigMap it is in."""
    vectors: Mapping[str, str]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """All managed objects as they shall be."""

    config_maps: Mapping[str, Mapping[str, str]]
    """Name → data; the index, alone or with its single shard, under the release's own name."""
    index: str
    """Name of the ConfigMap to write last."""
    credentials: Mapping[str, Sealed]
    digest: str
    shard_count: int


@lru_cache(maxsize=65536)
def shard_of(key: str, count: int) -> int:
    """The shard a route lives in: stable, whatever other routes there are."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % count


def text_digest(text: str) -> str:
    """16 hex digits that name a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shard_file(number: int) -> str:
    """Name of a shard's file: the data key, and the mounted file."""
    return f"routes-{number:02d}.json"


def shards_needed(size: int, before: int) -> int:
    """How many shards `size` bytes need: a power of two. Shrinks only when a quarter would do, so that it does not flap."""
    count = 1
    while size > count * SHARD_TARGET and count < MAX_SHARDS:
        count *= 2
    return before if count < before <= count * 2 and before <= MAX_SHARDS else count


class Memo:
    """The texts laid out last: a line that is the same object stays where it is, and a shard without a new line keeps its text."""

    def __init__(self) -> None:
        """Nothing is laid out."""
        self._lines: Mapping[str, str] = {}
        self._size = 0
        self._shards: list[dict[str, str]] = []
        self._sealed: tuple[Mapping[str, Sealed], str] | None = None
        self.texts: dict[str, str] = {}
        """File → text."""
        self.digests: dict[str, str] = {}

    def lay_out(self, lines: Mapping[str, str], before: int) -> None:
        """Brings `texts` and `digests` up to date. `before`: shards in use now."""
        old = self._lines
        changed = [key for key, line in lines.items() if old.get(key) is not line]
        gone = old.keys() - lines.keys() if len(old) + sum(key not in old for key in changed) != len(lines) else set[str]()
        self._size += sum(_length(key, lines[key]) - (_length(key, old[key]) if key in old else 0) for key in changed)
        self._size -= sum(_length(key, old[key]) for key in gone)
        self._lines = lines
        count = shards_needed(self._size, before)
        if count != len(self._shards):
            self._shards, self.texts, self.digests = [{} for _ in range(count)], {}, {}
            changed, gone = list(lines), set()
        dirty = set(range(count)) if not self.texts else set()
        for key in (*changed, *gone):
            number = shard_of(key, count)
            dirty.add(number)
            if key in lines:
                self._shards[number][key] = lines[key]
            else:
                del self._shards[number][key]
        for number in sorted(dirty):
            shard, file = self._shards[number], shard_file(number)
            self.texts[file] = "{\n" + ",\n".join(f'"{key}": {shard[key]}' for key in sorted(shard)) + "\n}\n"
            self.digests[file] = text_digest(self.texts[file])

    def seal(self, credentials: Mapping[str, Sealed], key: Sealed) -> str:
        """The credentials' digest.

        Raises:
            FullError: they do not fit.

        """
        if self._sealed is None or self._sealed[0] is not credentials:
            held = sum(len(name) + len(value.reveal().encode()) for name, value in credentials.items())
            if held > CREDENTIALS_LIMIT:
                raise FullError(
                    f"the routes' credentials need {held} bytes, one Secret holds {CREDENTIALS_LIMIT}: let routes share Secrets, "
                    "or serve some from a second release (spec.proxyName)"
                )
            self._sealed = (credentials, sealed.digest(credentials, key))
        return self._sealed[1]


def _length(key: str, line: str) -> int:
    return len(key) + len(line) + 8


def of(lines: Mapping[str, str], credentials: Mapping[str, Sealed], vectors: Mapping[str, str], *, name: str, before: int, key: Sealed, memo: Memo | None = None) -> Objects:
    """Lays the lines out. `name`: ConfigMap of the index; `before`: shards in use now; `key`: keys the credentials' digest.

    Raises:
        FullError: more routes or credentials than the objects can hold.

    """
    memo = memo or Memo()
    sealed_as = memo.seal(credentials, key)
    memo.lay_out(lines, before)
    largest = max(len(text) for text in memo.texts.values())  # ASCII: json.dumps escapes the rest
    if largest > SHARD_LIMIT:
        raise FullError(
            f"{len(lines)} routes do not fit in {MAX_SHARDS} ConfigMaps of {SHARD_LIMIT} bytes (the largest needs {largest}): serve some from a second release (spec.proxyName)"
        )
    return _laid_out(memo, credentials, vectors, name=name, sealed_as=sealed_as)


def _laid_out(memo: Memo, credentials: Mapping[str, Sealed], vectors: Mapping[str, str], *, name: str, sealed_as: str) -> Objects:
    texts, digests = memo.texts, memo.digests
    single = len(texts) == 1
    homes = {file: name if single else f"{name}-{file[7:9]}" for file in texts}
    digest = text_digest("\n".join([*(f"{file} {digests[file]}" for file in sorted(digests)), f"credentials {sealed_as}"]))
    index = {
        "version": 1,
        "shards": {file: {"configMap": homes[file], "digest": digests[file]} for file in sorted(texts)},
        "credentials": sealed_as,
        "digest": digest,
        "vectors": dict(sorted(vectors.items())),
    }
    config_maps: dict[str, dict[str, str]] = {homes[file]: {file: text} for file, text in texts.items()}
    config_maps[name] = {INDEX: json.dumps(index, indent=1) + "\n", **config_maps.get(name, {})}
    return Objects(config_maps=config_maps, index=name, credentials=credentials, digest=digest, shard_count=len(texts))


def read_index(text: str) -> Index | None:
    """Reads an index back; None where it is none that this version can read."""
    try:
        data = json.loads(text)
        homes = {file: entry["configMap"] for file, entry in data["shards"].items()}
        return Index(shards=homes, vectors=data.get("vectors", {}), digest=data["digest"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def lines_in(text: str) -> dict[str, str]:
    """The lines of one shard's text, unparsed: route key → line."""
    found = {}
    for raw in filter(None, text.splitlines()[1:-1]):
        route, _, line = raw.rstrip(",").partition('": ')
        found[route.removeprefix('"')] = line
    return found
