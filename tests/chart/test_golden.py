"""What the chart renders, word for word."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.chart.conftest import Helm

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "charts" / "litellm-proxy"
GOLDEN = HERE / "golden"


def _without_files(text: str) -> str:
    """Leave out what the chart copies from `files/`: it changes for its own reasons and has its own tests."""
    text = re.sub(r"(?ms)---\n# Source: litellm-proxy/templates/crds.yaml\n.*?(?=^---\n)", "", text)
    text = re.sub(r"(?ms)(?<=^  hot_reload.py: )\|\n.*?(?=^---\n)", "files/hot_reload.py\n", text)
    return re.sub(r"(?<=checksum/config: )[0-9a-f]{64}", "sha256", text)


def _compare(name: str, text: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        assert not os.environ.get("CI"), "goldens are rewritten by people, not by CI"
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert golden.exists(), f"{name} is missing: UPDATE_GOLDEN=1 writes it"
    assert text == golden.read_text(), f"{name} differs: look at the difference, then UPDATE_GOLDEN=1 accepts it"


def test_render_is_the_golden(case: str, text: str) -> None:
    _compare(f"{case}.yaml", _without_files(text))


def test_notes_are_the_golden(helm: Helm, tmp_path: Path) -> None:
    """Helm prints notes only against a cluster: render them as the one field of an object in a copy of the chart."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    notes = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "_notes.tpl").write_text(f'{{{{- define "notes" -}}}}\n{notes}{{{{- end -}}}}')
    (chart / "templates" / "notes.yaml").write_text('notes: {{ include "notes" . | quote }}')
    _compare("NOTES.txt", helm.objects("--show-only=templates/notes.yaml", chart=chart)[0]["notes"])


def test_no_golden_is_an_orphan() -> None:
    cases = {path.stem.removeprefix("values-") for path in HERE.glob("values-*.yaml")} | {"default"}
    assert {path.name for path in GOLDEN.iterdir()} == {f"{case}.yaml" for case in cases} | {"NOTES.txt"}


@pytest.mark.parametrize("values", [(), (f"--values={HERE / 'values-everything.yaml'}",)], ids=["default", "everything"])
def test_lint_is_clean(helm: Helm, values: tuple[str, ...]) -> None:
    done = helm.run("lint", "--strict", str(CHART), *values)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def test_second_render_has_the_same_bytes(helm: Helm) -> None:
    values = f"--values={HERE / 'values-everything.yaml'}"
    assert helm.template(values) == helm.template(values)


def test_templates_ask_neither_cluster_clock_nor_chance() -> None:
    """Argo CD and `helm template` have no cluster to look into, and must not see a change where there is none."""
    impure = re.compile(r"\{\{[^}]*(?<![.\w])(lookup|now|uuidv4|rand[A-Z]\w+|gen[A-Z]\w+|derivePassword|env|expandenv)\b")
    for template in (CHART / "templates").rglob("*.*"):
        assert not impure.search(template.read_text()), template.name
