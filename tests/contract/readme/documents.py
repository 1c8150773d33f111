"""The documents, their fenced blocks, and a shell in which those run with the real kubectl and helm but without a cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/litellm-proxy"
PACKAGE = ROOT / "operator/src/modelroute_operator"
NOTES = ROOT / "tests/chart/golden/NOTES.txt"
"""Helm's notes as it prints them; tests/chart keeps them so."""
SHELL = (ROOT / "README.md", CHART / "README.md", ROOT / "examples/README.md", NOTES)
"""Documents with commands for users."""
MARKDOWN = tuple(sorted(path for folder in ("", "charts/*/", "examples/", "tests/*/", "tests/contract/*/", "bench/") for path in ROOT.glob(f"{folder}*.md")))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

STUB = """#!{python}
import json, os, subprocess, sys
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
stdin = sys.stdin.read() if "-" in arguments or "/dev/stdin" in " ".join(arguments) else ""
said = ""
if name in ("kubectl", "helm"):
    done = subprocess.run([os.path.join({binaries!r}, name), *arguments], input=stdin, capture_output=True, text=True, timeout=60)
    said = done.stderr or done.stdout
with open({record!r}, "a") as record:
    record.write(json.dumps({{"name": name, "arguments": arguments, "stdin": stdin, "said": said}}) + "\\n")
if any(argument.startswith("jsonpath") for argument in arguments):
    print("c2stdGVzdA==")
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that a document has the reader type, and what the real one says without a cluster."""

    name: str
    arguments: list[str]
    stdin: str
    said: str

    @property
    def text(self) -> str:
        return " ".join((self.name, *self.arguments))


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A document's commands, run."""

    status: int
    errors: str
    commands: list[Command]

    def of(self, name: str) -> list[Command]:
        return [command for command in self.commands if command.name == name]


def blocks(path: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text()) if kind == language]


def script(path: Path) -> str:
    """All that a reader of the document pastes into a shell."""
    return pasted(path.read_text()) if path == NOTES else "\n".join(blocks(path, "sh"))


def pasted(notes: str) -> str:
    """The commands among Helm's notes: indented lines, and here-documents, which end at their word only where nothing stands before it."""
    lines, until = [], ""
    for line in notes.splitlines():
        if until or line.startswith("  ") or "<<" in line:
            lines.append(line)
        if until and line == until:
            until = ""
        elif match := re.search(r"<<'(\w+)'$", line):
            until = match.group(1)
    return "\n".join(lines)


def run(path: Path, folder: Path) -> Ran:
    """Runs the document's commands in `folder`, in order, stopping at the first that fails."""
    for name in ("charts", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    record = folder / "commands"
    record.touch()
    for name in ("kubectl", "helm", "make", "curl", "docker", "pip", "modelroute"):
        stub = folder / "bin" / name
        stub.write_text(STUB.format(python=sys.executable, binaries=str(ROOT / ".kube/bin"), record=str(record)))
        stub.chmod(0o755)
    nowhere = {
        "apiVersion": "v1", "kind": "Config", "current-context": "nowhere",
        "clusters": [{"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere"}}],
    }  # fmt: skip
    (folder / "kubeconfig").write_text(json.dumps(nowhere))
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "KUBECONFIG": str(folder / "kubeconfig"), "OPENAI_API_KEY": "sk-test",
    }  # fmt: skip
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script(path) + "\nwait"], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False)
    commands = [Command(**json.loads(line)) for line in record.read_text().splitlines()]
    return Ran(status=done.returncode, errors=done.stderr, commands=commands)
