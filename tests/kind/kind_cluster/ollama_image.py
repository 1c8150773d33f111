"""The image of Ollama for `tests/cluster/ollama`: pulled where it can be, else built from its Go module and kept."""

from __future__ import annotations

import os
import platform
import shutil
import tarfile
from pathlib import Path

from . import checkout, engine, images, steps, wheels

RECIPE = checkout.REPO / "tests/ollama"
VERSION = "0.17.4"
STOCK = f"ollama/ollama:{VERSION}"
PACKAGE = "github.com/ollama/ollama"
LINK = f"-s -w -X {PACKAGE}/version.Version={VERSION}"
MINIAUDIO = "miniaudio==1.71 --hash=sha256:ff51e2887bb673e2e757752b586b3dc924d59aa5fbcae9bbc45f4a111bd3262b\n"
"""A PyPI package that brings the one header Debian does not have."""
REMEDY = "read the compiler's message above: gcc and g++ are needed (apt-get install g++), and the Go module proxy"


def ensure() -> list[str]:
    """Have the image in the engine; its name in a list, for `cluster.load`."""
    origin = images.inputs_of(STOCK)
    if origin == "" or (origin is None and images.pull(STOCK)):
        with steps.step("image", f"{STOCK} is the stock image"):
            return [STOCK]
    base = images.debian()
    inputs = checkout.digest(checkout.digest_files(RECIPE, ("go.mod", "go.sum")), LINK)

    def fill(folder: Path) -> None:
        os.link(server(base, inputs), folder / "ollama")

    dockerfile = RECIPE / "ollama.Dockerfile"
    images.build(images.Recipe(name=STOCK, dockerfile=dockerfile, base=base, inputs=inputs, fill=fill, target="server"))
    return [STOCK]


def server(base: str, inputs: str) -> Path:
    """The compiled server, once for this machine.

    Args:
        base: a Debian image.
        inputs: the digest of what pins the sources.
    """
    kept = checkout.CACHE / "ollama" / f"{checkout.digest(inputs, platform.machine())}-ollama"
    if not kept.is_file():
        included = headers(base)
        with checkout.work_folder() as work, steps.step("go", f"compile Ollama {VERSION} (8 min when Go's cache is cold)") as current:
            # One package at a time: llama.cpp's C++ files take much memory.
            command = ("go", "build", "-v", "-p", "1", "-trimpath", "-buildvcs=false", f"-ldflags={LINK}", "-o", work / "ollama", PACKAGE)
            environment = {"CGO_ENABLED": "1", "CPATH": str(included)}
            steps.run(current, "nice", *command, cwd=RECIPE, env=environment, remedy=REMEDY, timeout=3600)
            (work / "ollama").rename(kept)
            current.outcome = f"compiled Ollama {VERSION}"
    return kept


def headers(base: str) -> Path:
    """The folder of the C++ headers that the module's archive leaves out.

    Args:
        base: a Debian image.
    """
    kept = checkout.CACHE / "ollama/headers"
    if kept.is_dir():
        return kept
    image = "modelroute/ollama-headers"
    dockerfile = RECIPE / "ollama.Dockerfile"
    images.build(images.Recipe(name=image, dockerfile=dockerfile, base=base, inputs="", fill=lambda _: None, target="headers"))
    with checkout.work_folder() as work, steps.step("go", "fetch the headers Ollama's archive leaves out"):
        container = engine.docker("create", image)
        for name in ("nlohmann", "stb"):
            engine.docker("cp", f"{container}:/usr/include/{name}", str(work / name))
        engine.docker("rm", container)
        engine.docker("rmi", image)
        (work / "miniaudio").mkdir()
        (work / "miniaudio/miniaudio.h").write_bytes(miniaudio(work / "download"))
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work, kept)
        work.mkdir()  # for work_folder to remove
    return kept


def miniaudio(folder: Path) -> bytes:
    """The header of that name, out of the package's sources.

    Args:
        folder: made by this.
    """
    folder.mkdir()
    (folder / "requirements.txt").write_text(MINIAUDIO)
    command = (wheels.UV, "tool", "run", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", "--require-hashes")
    ok, said = steps.attempt(*command, "--dest", folder, "--requirement", folder / "requirements.txt", timeout=300)
    if not ok:
        raise steps.StepError("the sources of miniaudio cannot be downloaded", wheels.REMEDY, said)
    archive = next(folder.glob("*.tar.gz"))
    with tarfile.open(archive) as sources:
        member = sources.extractfile(f"{archive.name.removesuffix('.tar.gz')}/miniaudio/miniaudio.h")
        assert member is not None
        content = member.read()
    shutil.rmtree(folder)
    return content
