"""Which cluster belongs to which checkout, what is kept where, and who may build now."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).resolve().parents[3]
RECIPE = REPO / "tests/kind"
KUBE = REPO / ".kube"
KUBECONFIG = KUBE / "config"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelroute"
CLUSTERS = CACHE / "clusters"
WORK = CACHE / "work"
FIRST_NAME = "modelroute"


def digest(*parts: bytes | str) -> str:
    """16 hex digits that change with any of the parts."""
    sha = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        sha.update(f"{len(content)}:".encode() + content)
    return sha.hexdigest()[:16]


def digest_files(root: Path, patterns: Iterable[str]) -> str:
    """The digest of the files below `root` that match the patterns: names and contents, not times."""
    files = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file() and "__pycache__" not in path.parts})
    return digest(*(part for path in files for part in (str(path.relative_to(root)), path.read_bytes())))


def choose_name(checkout: Path, owners: Mapping[str, Path], existing: Iterable[str]) -> str:
    """The name of this checkout's cluster: its own, else the plain one if nobody has it, else one of its own making.

    Args:
        checkout: the folder of this checkout.
        owners: cluster name to the checkout that made it.
        existing: the clusters that the engine knows, whoever made them.
    """
    for name, owner in sorted(owners.items()):
        if owner == checkout:
            return name
    if FIRST_NAME not in owners and FIRST_NAME not in existing:
        return FIRST_NAME
    return f"{FIRST_NAME}-{hashlib.sha256(str(checkout).encode()).hexdigest()[:6]}"


def abandoned(owners: Mapping[str, Path]) -> list[str]:
    """The clusters whose checkout is no longer there."""
    return sorted(name for name, owner in owners.items() if not (owner / "tests/kind").is_dir())


def owners(folder: Path = CLUSTERS) -> dict[str, Path]:
    """Who made which cluster, as recorded in `folder`."""
    return {path.stem: Path(json.loads(path.read_text())["checkout"]) for path in sorted(folder.glob("*.json"))}


def record_owner(name: str, checkout: Path, folder: Path = CLUSTERS) -> None:
    """Note that `checkout` made the cluster."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"checkout": str(checkout)}) + "\n")


def forget_owner(name: str, folder: Path = CLUSTERS) -> None:
    """The cluster is gone."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def cluster_in(kubeconfig: Path) -> str | None:
    """The kind cluster that a kubeconfig names: proof of ownership where the cache was deleted."""
    if not kubeconfig.is_file():
        return None
    found = re.search(r"^current-context: kind-(\S+)$", kubeconfig.read_text(), re.MULTILINE)
    return found.group(1) if found else None


@contextmanager
def machine_lock() -> Iterator[None]:
    """One run at a time on this machine: engine, builds and caches are shared by all checkouts."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            with steps.step("lock", f"wait for {lock.read().strip() or 'another run'}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"the run of {REPO} (pid {os.getpid()})\n")
        lock.flush()
        shutil.rmtree(WORK, ignore_errors=True)  # of a run that was killed
        yield
        lock.truncate(0)


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for one build, beside what is kept: big files are linked to it and renamed from it, not copied."""
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=WORK))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
