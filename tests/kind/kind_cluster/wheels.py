"""Python wheels for images: fetched outside the container, where the machine's certificates and proxies are known."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from . import checkout, engine, steps

# The Makefile's own, else the machine's.
UV = shutil.which("uv", path=f"{checkout.REPO}/.uv/bin{os.pathsep}{os.environ.get('PATH', '')}") or "uv"
REMEDY = "install uv and check that the Python package index can be reached; the last lines above name the package"


def download(folder: Path, base: str, requirements: str, *options: str) -> None:
    """Put wheels for the base image's Python into `folder`, each checked against its hash; kept in the cache.

    uv resolves, because pip reads the requirements' markers for the Python that runs it; pip downloads, because uv
    cannot.

    Args:
        folder: made by this.
        base: an image with `python3`.
        requirements: the text of a requirements file.
        options: for `uv pip compile`; the contents of files that they name count.
    """
    asked = ("run", "--rm", "--entrypoint=python3", base, "-c", "import platform; print(platform.python_version())")
    python, machine = engine.docker(*asked), engine.docker("version", "--format", "{{.Server.Arch}}")
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, platform.machine())
    contents = [Path(option).read_text() for option in options if Path(option).is_file()]
    kept = checkout.CACHE / "wheels" / checkout.digest(python, arch, requirements, *options, *contents)
    if not kept.is_dir():
        with checkout.work_folder() as work:
            fetch(work / "wheels", python, arch, requirements, *options)
            kept.parent.mkdir(parents=True, exist_ok=True)
            (work / "wheels").rename(kept)
    shutil.copytree(kept, folder, copy_function=os.link, ignore=shutil.ignore_patterns("*.txt"))


def fetch(folder: Path, python: str, arch: str, requirements: str, *options: str) -> None:
    """Resolve and download."""
    asked, pinned = folder / "asked.txt", folder / "pinned.txt"
    folder.mkdir()
    asked.write_text(requirements)
    with steps.step("wheels", f"download wheels for Python {python}, {arch}") as current:
        resolve = (UV, "pip", "compile", "--quiet", "--generate-hashes", "--no-annotate", "--no-header", *options)
        target = ("--python-version", python, "--python-platform", f"{arch}-manylinux_2_28")
        steps.run(current, *resolve, *target, "--output-file", pinned, asked, remedy=REMEDY)
        pip = (UV, "tool", "run", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
        tags = [f"--platform={tag}_{arch}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
        version = (f"--python-version={python.rpartition('.')[0]}", "--only-binary=:all:", "--require-hashes")
        steps.run(current, *pip, *tags, *version, "--dest", folder, "--requirement", pinned, remedy=REMEDY)
        current.outcome = f"downloaded {len(list(folder.glob('*.whl')))} wheels for Python {python}, {arch}"


def build_own(folder: Path) -> Path:
    """Build the wheel of this repo's own package into `folder`; the same sources give the same bytes."""
    with steps.step("wheels", "build the operator's wheel") as current:
        command = (UV, "build", "--no-progress", "--wheel", "--out-dir", folder, checkout.REPO)
        steps.run(current, *command, remedy="read the build backend's message above; it is about pyproject.toml")
    return next(folder.glob("*.whl"))
