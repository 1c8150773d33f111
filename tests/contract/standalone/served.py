"""A running `modelroute serve`, its folder, and the lines it prints."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from contract.plugin.world import Simulator, eventually, free_port

MODELROUTE = Path(sys.executable).with_name("modelroute")
KEY = "sk-standalone-master-key"
ROUTE = """
apiVersion: modelroute.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec:
  backends:
    - name: default
      provider: openai
      model: {model}
      credentialsSecretRef: {{name: {secret}}}
"""


def route(name: str, model: str = "gpt-4.1", secret: str = "openai") -> str:
    return ROUTE.format(name=name, model=model, secret=secret).lstrip()


@dataclass(kw_only=True)
class Served:
    """`modelroute serve` of a folder; OpenAI is the simulator."""

    home: Path
    simulator: Simulator
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.home / "routes"
        self.folder.mkdir()
        self.port = free_port()
        self.log = self.home / "litellm.log"
        (self.home / ".env").write_text(f"# the provider\nOPENAI_API_KEY=key-of-the-env-file\nOPENAI_API_BASE='{self.simulator.openai}'\n")
        self.write("first", route("first"))
        command = [MODELROUTE, "serve", self.folder, "--port", str(self.port), "--env-file", self.home / ".env", "--log", self.log]
        environment = os.environ | {"LITELLM_MASTER_KEY": KEY, "DATABASE_URL": "postgresql://nowhere.invalid/of-somebody-else", "NUM_WORKERS": "3"}
        environment["TMPDIR"] = str(self.home)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=self.home)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30)

    def _read(self) -> None:
        assert self.process.stdout
        self.lines += (line.rstrip("\n") for line in iter(self.process.stdout.readline, ""))

    def wait_until_ready(self) -> None:
        eventually(lambda: self.said("serving on") or self.process.poll() is not None, 120)
        assert self.process.poll() is None, "\n".join(self.lines) + self.log.read_text()[-3000:]

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(30)

    def write(self, file: str, text: str) -> Path:
        path = self.folder / f"{file}.yaml"
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    def said(self, text: str, since: int = 0) -> list[str]:
        """The lines with this text, from the `since`th on."""
        return [line for line in self.lines[since:] if text in line]

    def row(self, name: str, since: int = 0) -> list[str]:
        """The route's row of the table, as soon as one is printed."""
        cells: list[str] = eventually(lambda: [line.split() for line in self.lines[since:] if line.split()[0] == name and "is gone" not in line])[0]
        return cells

    def hears(self, text: str, since: int) -> str:
        """The first line with this text, as soon as it is said."""
        line: str = eventually(lambda: self.said(text, since))[0]
        return line

    def answer(self, model: str) -> str:
        """What the model says, or the error's message."""
        body = self.client.post("/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": "Hello"}]}).json()
        said: str = body["choices"][0]["message"]["content"] if "choices" in body else body["error"]["message"]
        return said
