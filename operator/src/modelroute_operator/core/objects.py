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


def of(lines: Mapping[str, str], credentials: Mapping[str, Sealed], vectors: Mapping[str, str], *, name: str, before: int, key: Sealed) -> Objects:
    """Lays the lines out. `name`: ConfigMap of the index; `before`: shards in use now; `key`: keys the credentials' digest.

    Raises:
        FullError: more routes or credentials than the objects can hold.

    """
    total = sum(len(k) + len(text) + 8 for k, text in lines.items())
    held = sum(len(k) + len(v.reveal().encode()) for k, v in credentials.items())
    if held > CREDENTIALS_LIMIT:
        raise FullError(
            f"the routes' credentials need {held} bytes, one Secret holds {CREDENTIALS_LIMIT}: let routes share Secrets, or serve some from a second release (spec.proxyName)"
        )
    count = shards_needed(total, before)
    parts: list[list[str]] = [[] for _ in range(count)]
    for route in sorted(lines):
        parts[shard_of(route, count)].append(f'"{route}": {lines[route]}')
    texts = {shard_file(i): "{\n" + ",\n".join(part) + "\n}\n" for i, part in enumerate(parts)}
    largest = max(len(text.encode()) for text in texts.values())
    if largest > SHARD_LIMIT:
        raise FullError(
            f"{len(lines)} routes need {total} bytes, {MAX_SHARDS} ConfigMaps of {SHARD_LIMIT} hold too little (the largest needs {largest}): "
            "serve some from a second release (spec.proxyName)"
        )
    return _laid_out(texts, credentials, vectors, name=name, key=key)


def _laid_out(texts: Mapping[str, str], credentials: Mapping[str, Sealed], vectors: Mapping[str, str], *, name: str, key: Sealed) -> Objects:
    single = len(texts) == 1
    homes = {file: name if single else f"{name}-{file[7:9]}" for file in texts}
    digests = {file: text_digest(text) for file, text in texts.items()}
    credentials_digest = sealed.digest(credentials, key)
    digest = text_digest("\n".join([*(f"{file} {digests[file]}" for file in sorted(digests)), f"credentials {credentials_digest}"]))
    index = {
        "version": 1,
        "shards": {file: {"configMap": homes[file], "digest": digests[file]} for file in sorted(texts)},
        "credentials": credentials_digest,
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
