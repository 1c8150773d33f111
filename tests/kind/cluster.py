#!/usr/bin/env python3
"""A kind cluster from nothing, on any machine with a container engine; on Debian as root even without one."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext

from kind_cluster import checkout, cluster, engine, node_image, ollama_image, project_images, steps, tools


def up() -> None:
    """Bring the cluster up, or keep it when it is sound; its kubeconfig is .kube/config."""
    folder = tools.ensure()
    engine.ensure(folder)
    cluster.delete_abandoned(folder)
    image = node_image.ensure()
    name = cluster.name_here()
    cluster.ensure(folder, name, image)
    print(f"\n  cluster {name} is Ready:  export KUBECONFIG={checkout.KUBECONFIG} PATH={checkout.KUBE}/bin:$PATH")


def down() -> None:
    """Delete the cluster and its kubeconfig, and stop the engine if this tool started it and nothing else runs in it."""
    if checkout.REPO in checkout.owners().values() or checkout.KUBECONFIG.exists():
        folder = tools.ensure()
        engine.ensure(folder)
        cluster.delete_abandoned(folder)
        name = cluster.name_here()
        if name in cluster.existing():
            cluster.delete(folder, name)
        checkout.forget_owner(name)
    cluster.remove_leftovers()
    if engine.answers():
        engine.stop_if_idle()
    print(f"\n  nothing of this checkout is left; what was built stays in {checkout.CACHE} (delete it to start anew)")


def images() -> None:
    """Pull or build the images of LiteLLM and of the operator."""
    engine.ensure(tools.ensure())
    project_images.ensure()


def load() -> None:
    """Do what `images` does and bring them into the cluster's node."""
    engine.ensure(tools.ensure())
    cluster.load(cluster.name_here(), project_images.ensure())


def load_ollama() -> None:
    """Pull or build Ollama's image (10 min the first time) and bring it into the cluster's node."""
    engine.ensure(tools.ensure())
    cluster.load(cluster.name_here(), ollama_image.ensure())


def binaries() -> None:
    """Build kind, helm and kubectl only, and link them at .kube/bin; needs no engine."""
    tools.ensure()


def status() -> None:
    """Say in a few words what there is; exit 1 unless the cluster is Ready."""
    state = cluster.state(tools.kept_in(), cluster.name_here() if engine.answers() else "(no engine answers)")
    print("\n".join(f"{key:<11} {value}" for key, value in state.items()))
    if state["ready"] != "yes":
        raise SystemExit(1)


COMMANDS = {"up": up, "down": down, "images": images, "load": load, "load-ollama": load_ollama, "binaries": binaries, "status": status}


def main() -> int:
    """Run one command, under the machine's lock if it changes anything, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        commands.add_parser(name, help=function.__doc__)
    command = parser.parse_args().command
    started = time.monotonic()
    try:
        with nullcontext() if command == "status" else checkout.machine_lock():
            COMMANDS[command]()
    except steps.StepError as failure:
        print(failure.report(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run it again to go on where it stopped", file=sys.stderr)
        return 130
    if command != "status":
        print(f"  {command}: {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
