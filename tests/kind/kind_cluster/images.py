"""Images in the engine: pulled where they can be, else built; rebuilt only when what they are made of has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import checkout, engine, steps

INPUTS_LABEL = "modelroute.inputs"
PULL_TIMEOUT = 600.0
RECIPES = checkout.REPO / "tests/images"
# What a slim image leaves out: documentation, translations, package lists.
DEBOOTSTRAP = """
debootstrap --variant=minbase --include=ca-certificates bookworm root
cd root
rm -rf var/lib/apt/lists/* var/cache/apt/* var/log/* usr/share/doc/* usr/share/man/* usr/share/info/* usr/share/locale/*
printf 'path-exclude /usr/share/%s/*\\n' doc man info locale > etc/dpkg/dpkg.cfg.d/slim
tar --numeric-owner --one-file-system --exclude './dev/*' --exclude './proc/*' --exclude './sys/*' -cf ../root.tar .
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make an image that cannot be pulled (or is our own)."""

    name: str
    dockerfile: Path
    base: str
    inputs: str
    """Changes whenever the image must be built again; the base and the Dockerfile need not be part of it."""
    fill: Callable[[Path], None]
    """Put into the build context what the Dockerfile copies."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""


def image_id(name: str) -> str:
    """The id of an image in the engine, empty when it is not there."""
    ok, output = steps.attempt("docker", "image", "inspect", "--format", "{{.Id}}", name)
    return output if ok else ""


def inputs_of(name: str) -> str | None:
    """The inputs an image in the engine was built from; empty for a pulled one, None when it is not there."""
    template = f'{{{{with .Config.Labels}}}}{{{{index . "{INPUTS_LABEL}"}}}}{{{{end}}}}'
    ok, output = steps.attempt("docker", "image", "inspect", "--format", template, name)
    return output if ok else None


def pull(name: str) -> bool:
    """Try to pull an image; a registry that refuses or cannot be reached is an answer."""
    with steps.step("image", f"pull {name}") as current:
        ok, said = steps.attempt("docker", "pull", "--quiet", name, timeout=PULL_TIMEOUT)
        reason = " ".join(said.split())[-60:]
        current.outcome = f"pulled {name}" if ok else f"{name} cannot be pulled here (...{reason})"
    return ok


def build(recipe: Recipe) -> None:
    """Build an image unless the engine has it from the same inputs."""
    content = recipe.dockerfile.read_bytes()
    inputs = checkout.digest(recipe.inputs, content, image_id(recipe.base), str(dict(recipe.arguments)), recipe.target)
    if inputs_of(recipe.name) == inputs:
        with steps.step("image", f"{recipe.name} is up to date"):
            return
    with checkout.work_folder() as folder:
        recipe.fill(folder)
        with steps.step("image", f"build {recipe.name}") as current:
            arguments = {"BASE_IMAGE": recipe.base, **recipe.arguments}
            command = ["docker", "build", "--tag", recipe.name, "--label", f"{INPUTS_LABEL}={inputs}"]
            command += ["--file", str(recipe.dockerfile)]
            for name, value in arguments.items():
                command += ["--build-arg", f"{name}={value}"]
            if recipe.target:
                command += ["--target", recipe.target]
            remedy = f"read the last lines above; the recipe is {recipe.dockerfile.relative_to(checkout.REPO)}"
            steps.run(current, *command, str(folder), remedy=remedy, env=engine.BUILD_ENV)
            size = int(engine.docker("image", "inspect", "--format", "{{.Size}}", recipe.name)) / 1e6
            current.outcome = f"built {recipe.name} ({size:.0f} MB)"
    drop_superseded()


def drop_superseded() -> None:
    """Delete the nameless images of earlier builds, but the newest stage that asks to be kept for the next build."""
    nameless = ("docker", "images", "--quiet", "--filter", "dangling=true", "--filter")
    ours = steps.attempt(*nameless, f"label={INPUTS_LABEL}")[1].split()
    kept = steps.attempt(*nameless, "label=modelroute.stage=kept")[1].split()[:1]
    if old := [identity for identity in ours if identity not in kept]:
        steps.attempt("docker", "rmi", *old)


def debian() -> str:
    """The name of a Debian 12 base image that is in the engine: pulled, else made by debootstrap once and kept."""
    stock, own = "debian:bookworm-slim", "modelroute/debian:bookworm"
    for name in (stock, own):
        if image_id(name):
            return name
    if pull(stock):
        return stock
    archive = checkout.CACHE / "debian" / f"{checkout.digest(DEBOOTSTRAP)}.tar"
    if not archive.is_file():
        with checkout.work_folder() as folder, steps.step("image", "debootstrap Debian 12 (1 to 3 min)") as current:
            remedy = "on Debian run this as root with debootstrap installed; elsewhere make debian:bookworm-slim available"
            (folder / "root").mkdir()
            steps.run(current, "sh", "-euc", DEBOOTSTRAP, cwd=folder, remedy=remedy)
            archive.parent.mkdir(parents=True, exist_ok=True)
            (folder / "root.tar").rename(archive)
            current.outcome = f"made a Debian 12 base ({archive.stat().st_size / 1e6:.0f} MB)"
    with steps.step("image", f"import {own}"):
        engine.docker("import", "--change", 'CMD ["bash"]', str(archive), own, timeout=300)
    return own


def python() -> str:
    """The name of a Python 3.11 base image that is in the engine: pulled, else Debian's Python."""
    stock = "python:3.11-slim"
    if image_id(stock):
        return stock
    own = Recipe(
        name="modelroute/python:bookworm",
        dockerfile=RECIPES / "python.Dockerfile",
        base="",
        inputs="",
        fill=lambda _: None,
    )
    if inputs_of(own.name) is None and pull(stock):
        return stock
    build(replace(own, base=debian()))
    return own.name
