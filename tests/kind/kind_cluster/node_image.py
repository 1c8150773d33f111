"""The image of the cluster's node: pulled where it can be, else built from Go modules and Debian packages, and kept."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from . import checkout, engine, images, steps, tools

STOCK = "kindest/node:v1.34.3"
RECIPE = tools.RECIPE
KIND = "sigs.k8s.io/kind"


def ensure() -> str:
    """The name of a node image that is in the engine."""
    key = checkout.digest(checkout.digest_files(RECIPE, ["**/*"]), os.uname().machine)
    own = f"modelroute/node:{tools.kubernetes_version()}-{key}"
    archive = checkout.CACHE / "node" / f"{key}.tar.gz"
    for name in (STOCK, own):
        if images.image_id(name):
            return name
    if archive.is_file():
        with steps.step("node", f"load the node image built earlier ({archive.stat().st_size / 1e6:.0f} MB)") as current:
            remedy = f"delete {archive} and run it again"
            steps.run(current, "docker", "load", "--input", archive, remedy=remedy)
        return own
    if images.pull(STOCK):
        return STOCK
    build(own)
    keep(own, archive)
    return own


def storage(kind_source: Path) -> tuple[str, list[str]]:
    """Read kind's default storage: the manifest, and the images that it names.

    Args:
        kind_source: the folder of kind's module.
    """
    text = (kind_source / "pkg/build/nodeimage/const_storage.go").read_text()
    names = dict(re.findall(r'^const (\w+Image) = "(.+)"$', text, re.MULTILINE))
    manifest = text.split("const defaultStorageManifest = `", 1)[1].rsplit("`", 1)[0]
    return re.sub(r"` \+ (\w+) \+ `", lambda found: names[found.group(1)], manifest), list(names.values())


def build(own: str) -> None:
    """Compile, pack the images that Kubernetes runs into one archive, and build the node around it."""
    base = images.debian()
    with checkout.work_folder() as folder:
        parts, bundle = folder / "parts", folder / "images.tar"
        tools.build_node_parts(parts)
        kind_source = tools.module_folder(KIND)
        manifest, storage_images = storage(kind_source)
        ok, listed = steps.attempt(parts / "kube", "kubeadm", "config", "images", "list", "--kubernetes-version", tools.kubernetes_version())
        if not ok:
            raise steps.StepError("kubeadm cannot list its images", "this is a fault of the recipe in tests/kind/node", listed)
        names = listed.split() + storage_images
        bundle_images(base, parts, names, bundle)

        def fill(context: Path) -> None:
            shutil.copytree(kind_source / "images/base/files", context / "kind")
            shutil.copytree(RECIPE / "files", context / "files")
            for file in (parts / "kube", parts / "runc", bundle):
                os.link(file, context / file.name)
            (context / "default-storage.yaml").write_text(manifest)
            (context / "version").write_text(tools.kubernetes_version())

        pause = next(name for name in names if "/pause:" in name)
        recipe = images.Recipe(
            name=own,
            dockerfile=RECIPE / "node.Dockerfile",
            base=base,
            inputs=own,
            fill=fill,
            arguments={"PAUSE_IMAGE": pause},
        )
        images.build(recipe)


def bundle_images(base: str, parts: Path, names: list[str], bundle: Path) -> None:
    """Build the image of each name and save them all into `bundle`, their layers once."""

    def fill(context: Path) -> None:
        for file in parts.iterdir():
            os.link(file, context / file.name)

    flavours = {target: f"modelroute/node-parts:{target}" for target in ("kube", "coredns", "pause")}
    for target, image in flavours.items():
        dockerfile = RECIPE / "images.Dockerfile"
        inputs = checkout.digest_files(RECIPE, tools.GO_SOURCES)
        images.build(images.Recipe(name=image, dockerfile=dockerfile, base=base, inputs=inputs, fill=fill, target=target))
    for name in names:
        target = next((target for target in ("coredns", "pause") if f"/{target}:" in name), "kube")
        engine.docker("tag", flavours[target], name)
    with steps.step("node", f"pack {len(names)} images") as current:
        steps.run(current, "docker", "save", "--output", bundle, *names, remedy="is the disk full? see `df -h`")
    engine.docker("rmi", *names, *flavours.values())


def keep(name: str, archive: Path) -> None:
    """Store an image of the engine in the cache."""
    with checkout.work_folder() as folder, steps.step("node", f"keep {name} in {archive}") as current:
        remedy = "is the disk full? see `df -h`"
        steps.pipe(current, ["docker", "save", name], ["gzip", "-1"], into=folder / "image", remedy=remedy)
        archive.parent.mkdir(parents=True, exist_ok=True)
        (folder / "image").rename(archive)
