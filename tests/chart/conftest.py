"""Helm as fixtures, and every named render of the chart, each made once."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "charts" / "litellm-proxy"
CASES = ("default", *sorted(path.stem.removeprefix("values-") for path in HERE.glob("values-*.yaml")))
# Helm refuses a name of 54 characters.
LONGEST_RELEASE = "a-release-name-that-is-as-long-as-helm-lets-a-name-be"
RELEASES = {"second-release": LONGEST_RELEASE}

Object = dict[str, Any]


def read(text: str) -> list[Object]:
    """The objects in YAML text. The C parser is ten times as fast."""
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@dataclass(frozen=True, slots=True)
class Helm:
    """The helm command, offline."""

    binary: str

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run helm; the result is not checked."""
        return subprocess.run([self.binary, *args], capture_output=True, text=True, check=False)

    def template(self, *args: str, release: str = "litellm", kubernetes: str = "1.34.0", chart: Path = CHART) -> str:
        """Render a chart for the namespace `ai`. Raises AssertionError with what helm says."""
        done = self._template(*args, release=release, kubernetes=kubernetes, chart=chart)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objects(self, *args: str, **options: Any) -> list[Object]:
        """Render as `template` does and read the objects."""
        return read(self.template(*args, **options))

    def refusal(self, *args: str, release: str = "litellm") -> str:
        """What helm says about arguments that it must refuse."""
        done = self._template(*args, release=release, kubernetes="1.34.0", chart=CHART)
        assert done.returncode != 0, "helm rendered what it should have refused"
        return done.stderr

    def _template(self, *args: str, release: str, kubernetes: str, chart: Path) -> subprocess.CompletedProcess[str]:
        # The version is pinned, because helm's own default depends on how helm was built.
        version = f"--kube-version={kubernetes}"
        return self.run("template", release, str(chart), "--namespace=ai", version, *args)


@pytest.fixture(scope="session")
def helm() -> Helm:
    """The helm command of `$HELM` or `PATH`; a missing one is a failure, not a skip."""
    binary = os.environ.get("HELM") or shutil.which("helm")
    if not binary:
        pytest.fail("helm is missing: put it on PATH or name it in HELM")
    return Helm(binary)


@functools.cache
def _rendered(helm: Helm, case: str) -> str:
    values = [] if case == "default" else [f"--values={HERE / f'values-{case}.yaml'}"]
    return helm.template(*values, release=RELEASES.get(case, "litellm"))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    """Each named case in turn: `default`, and one per `values-<case>.yaml`."""
    name: str = request.param
    return name


@pytest.fixture
def text(helm: Helm, case: str) -> str:
    """What helm prints for the case."""
    return _rendered(helm, case)


@pytest.fixture
def objects(text: str) -> list[Object]:
    """The Kubernetes objects of the case."""
    return read(text)


@pytest.fixture
def default(helm: Helm) -> list[Object]:
    """The Kubernetes objects of the chart without any values."""
    return read(_rendered(helm, "default"))
