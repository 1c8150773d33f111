"""The images of this project: stock LiteLLM (or its stand-in) and the operator."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import checkout, images, steps, wheels

LITELLM_VERSION = "1.108.7"
LITELLM = f"ghcr.io/berriai/litellm:v{LITELLM_VERSION}"
LOCK = "tests/requirements.lock"
OPERATOR = checkout.REPO / "operator"
# 180 MB for one export of usage data (FOCUS), imported only when that is configured.
UNUSED_BY_LITELLM = ("polars", "polars-runtime-32")


def ensure() -> list[str]:
    """Have every image in the engine; their names."""
    base = images.python()
    return [litellm(base), operator(base)]


def litellm(base: str) -> str:
    """The stock image of LiteLLM, or a stand-in of the same name, entrypoint and paths, built from its wheels."""
    origin = images.inputs_of(LITELLM)
    if origin == "" or (origin is None and images.pull(LITELLM)):
        with steps.step("image", f"{LITELLM} is the stock image"):
            return LITELLM

    def fill(folder: Path) -> None:
        """Wheels of LiteLLM's proxy in the versions of the tests' lock, and the stock image's entrypoint."""
        skip = [word for name in UNUSED_BY_LITELLM for word in ("--no-emit-package", name)]
        wanted = f"litellm[proxy]=={LITELLM_VERSION}\nprisma\n"  # the stock image has prisma too
        wheels.download(folder / "wheels", base, wanted, "--constraints", str(checkout.REPO / LOCK), *skip)
        shutil.copy2(images.RECIPES / "prod_entrypoint.sh", folder)

    inputs = checkout.digest(checkout.digest_files(checkout.REPO, [LOCK, "tests/images/*.sh"]), *UNUSED_BY_LITELLM)
    dockerfile = images.RECIPES / "litellm.Dockerfile"
    images.build(images.Recipe(name=LITELLM, dockerfile=dockerfile, base=base, inputs=inputs, fill=fill))
    with steps.step("image", f"note: {LITELLM} is a stand-in built from wheels, not the stock image"):
        return LITELLM


def operator(base: str) -> str:
    """The operator's image, tagged with the version in pyproject.toml."""
    project = (checkout.REPO / "pyproject.toml").read_text()
    found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert found is not None
    lock = (OPERATOR / "requirements.lock").read_text()
    with checkout.work_folder() as own:
        # Built each time, in a second: only the build backend knows what goes into it.
        wheel = wheels.build_own(own)

        def fill(folder: Path) -> None:
            """Wheels of the operator's locked dependencies, and its own."""
            wheels.download(folder / "wheels/dependencies", base, lock, "--no-deps")
            (folder / "wheels/operator").mkdir()
            shutil.copy2(wheel, folder / "wheels/operator")

        name, inputs = f"modelroute/operator:{found.group(1)}", checkout.digest(wheel.read_bytes(), lock)
        images.build(images.Recipe(name=name, dockerfile=OPERATOR / "Dockerfile", base=base, inputs=inputs, fill=fill))
    return name
