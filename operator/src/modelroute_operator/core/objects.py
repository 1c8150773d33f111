"""The bytes of the managed objects: index, shards, credentials; and their digests.

Formats: `index.json` {version, shards: {file: {configMap, digest}}, credentials, digest, vectors};
`routes-NN.json` {key: line, …}, one route a line, sorted, valid JSON as a whole; `recent.json` the same for what changed
since those were written: a line there stands for the route's line in its shard, and null for none.

So a change writes and transfers the index with the recent lines, whatever number of routes there are. They move into
their shards when it is calm, so that the next change finds a small index, and when they have become many. A few routes
are all in the index's own ConfigMap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from modelroute_operator.core import sealed
from modelroute_operator.core.delta import take_over
from modelroute_operator.core.sealed import Sealed

INDEX = "index.json"
RECENT = "recent.json"
INLINE_LIMIT = 16 * 1024
"""Bytes of routes up to which all are in the index's own ConfigMap."""
RECENT_LIMIT = 48 * 1024
"""Bytes of recent lines above which they move into their shards at once."""
CALM_LIMIT = 8 * 1024
"""And above which they do when it is calm: an index of 48 KiB takes the API server 7 ms more than one of 1 KiB."""
MAX_SHARDS = 32
"""As many as the chart mounts and its Role names (a chart test compares)."""
SHARD_TARGET = 96 * 1024
"""Bytes a shard should stay under: what every replica reads anew when recent lines move into it."""
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
    tidy: bool = True
    """Is there nothing that a calm moment should move?"""


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
    """How many shards `size` bytes need: one (in the index's ConfigMap), or a power of two. Shrinks late, so that it does not flap."""
    if size <= INLINE_LIMIT:
        return 2 if before == 2 and size > INLINE_LIMIT // 4 else 1
    count = 2
    while size > count * SHARD_TARGET and count < MAX_SHARDS:
        count *= 2
    return before if count < before <= count * 2 and before <= MAX_SHARDS else count


class Memo:
    """What was laid out last. A line that is the same stays where it is, and a shard that nothing moves into keeps its text."""

    def __init__(self) -> None:
        """Nothing is laid out."""
        self._lines: dict[str, str] = {}
        self._size = 0
        self._shards: list[dict[str, str]] = []
        self._recent: dict[str, str | None] = {}
        self.recent_size = 0
        """Bytes of the lines that stand for those in the shards."""
        self._sealed: tuple[Mapping[str, Sealed], str] | None = None
        self.texts: dict[str, str] = {}
        """File → text."""
        self.digests: dict[str, str] = {}

    def resume(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Goes on from files as they were read back. Returns the lines they hold."""
        recent = lines_in(texts.get(RECENT, ""))
        self._shards = [lines_in(texts[file]) for file in sorted(texts) if file != RECENT]
        self._recent = {key: None if line == "null" else line for key, line in recent.items()}
        lines = {key: line for shard in self._shards for key, line in shard.items()} | self._recent
        kept = {key: line for key, line in lines.items() if line is not None}
        self._lines, self._size = dict(kept), sum(_length(key, line) for key, line in kept.items())
        self.texts, self.digests = dict(texts), {file: text_digest(text) for file, text in texts.items()}
        return kept

    def lay_out(self, lines: Mapping[str, str], before: int, changed: Collection[str] | None = None, *, calm: bool = False) -> None:
        """Brings `texts` and `digests` up to date. `before`: shards in use now; `changed`: lines that may differ from the last ones, None: any."""
        changed = self._take_over(lines, changed)
        count = shards_needed(self._size, before)
        if count != len(self._shards):
            self._shards, self._recent, self.texts, self.digests = [{} for _ in range(count)], {}, {}, {}
            self._move(dict(lines), range(count))
        elif count == 1:
            self._move({key: lines.get(key) for key in changed}, (0,) if changed else ())
        else:
            for key in changed:
                if self._shards[shard_of(key, count)].get(key) == lines.get(key):
                    self._recent.pop(key, None)
                else:
                    self._recent[key] = lines.get(key)
        if count > 1:
            self.recent_size = sum(_length(key, line or "") for key, line in self._recent.items())
            moved = self.recent_size > (CALM_LIMIT if calm else RECENT_LIMIT)
            if moved:
                self._move(self._recent, {shard_of(key, count) for key in self._recent})
                self._recent, self.recent_size = {}, 0
            if changed or moved or RECENT not in self.texts:
                self._write(RECENT, {key: line or "null" for key, line in self._recent.items()})

    def _take_over(self, lines: Mapping[str, str], keys: Iterable[str] | None) -> Collection[str]:
        """Those of the keys whose lines are others than last time, or are gone."""
        before = take_over(self._lines, lines, keys)
        for key, old in before.items():
            self._size += (_length(key, lines[key]) if key in lines else 0) - (_length(key, old) if old is not None else 0)
        return before.keys()

    def _move(self, lines: Mapping[str, str | None], numbers: Iterable[int]) -> None:
        """Puts lines into their shards, and writes those shards."""
        for key, line in lines.items():
            shard = self._shards[shard_of(key, len(self._shards))]
            if line is None:
                shard.pop(key, None)
            else:
                shard[key] = line
        for number in sorted(numbers):
            self._write(shard_file(number), self._shards[number])

    def _write(self, file: str, lines: Mapping[str, str]) -> None:
        self.texts[file] = "{\n" + ",\n".join(f'"{key}": {lines[key]}' for key in sorted(lines)) + "\n}\n"
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


def of(
    lines: Mapping[str, str],
    credentials: Mapping[str, Sealed],
    vectors: Mapping[str, str],
    *,
    name: str,
    before: int,
    key: Sealed,
    memo: Memo | None = None,
    changed: Collection[str] | None = None,
    calm: bool = False,
) -> Objects:
    """Lays the lines out. `name`: ConfigMap of the index; `before`: shards in use now; `key`: keys the credentials' digest; `changed`, `calm`: as in Memo.lay_out.

    Raises:
        FullError: more routes or credentials than the objects can hold.

    """
    memo = memo or Memo()
    sealed_as = memo.seal(credentials, key)
    memo.lay_out(lines, before, changed, calm=calm)
    largest = max(len(text) for text in memo.texts.values())  # ASCII: json.dumps escapes the rest
    if largest > SHARD_LIMIT:
        raise FullError(
            f"{len(lines)} routes do not fit in {MAX_SHARDS} ConfigMaps of {SHARD_LIMIT} bytes (the largest needs {largest}): serve some from a second release (spec.proxyName)"
        )
    return _laid_out(memo, credentials, vectors, name=name, sealed_as=sealed_as)


def _laid_out(memo: Memo, credentials: Mapping[str, Sealed], vectors: Mapping[str, str], *, name: str, sealed_as: str) -> Objects:
    texts, digests = memo.texts, memo.digests
    files = sorted(texts)
    inline = RECENT not in texts
    homes = {file: name if inline or file == RECENT else f"{name}-{file[7:9]}" for file in files}
    digest = text_digest("\n".join([*(f"{file} {digests[file]}" for file in files), f"credentials {sealed_as}"]))
    index = {
        "version": 1,
        "shards": {file: {"configMap": homes[file], "digest": digests[file]} for file in files},
        "credentials": sealed_as,
        "digest": digest,
        "vectors": dict(sorted(vectors.items())),
    }
    config_maps: dict[str, dict[str, str]] = {name: {INDEX: json.dumps(index, indent=1) + "\n"}}
    for file in files:
        config_maps.setdefault(homes[file], {})[file] = texts[file]
    return Objects(
        config_maps=config_maps, index=name, credentials=credentials, digest=digest, shard_count=len(files) - (not inline), tidy=inline or memo.recent_size <= CALM_LIMIT
    )


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
