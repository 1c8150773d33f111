"""What the documents point at is there, and what they list is all there is."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import run_guide
import yaml
from contract.readme import documents
from contract.readme.documents import CHART, MARKDOWN, PACKAGE, ROOT
from modelroute_operator.core.conditions import CONDITION_OF, Condition

README = (ROOT / "README.md").read_text()
markdown = pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))


@markdown
def test_links_lead_somewhere(path: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()) if not link.startswith(("http://", "https://", "#"))]
    assert [link for link in links if not (path.parent / link.partition("#")[0]).exists()] == []


@markdown
def test_python_blocks_compile(path: Path) -> None:
    for block in documents.blocks(path, "python"):
        ast.parse(block)


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The body of the first Markdown table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_performance_is_what_was_measured_in_one_whole_run() -> None:
    results = json.loads((ROOT / "bench/results.json").read_text())
    printed = subprocess.run([sys.executable, ROOT / "bench/table.py"], capture_output=True, text=True, check=True).stdout
    assert f"<!-- bench/table.py -->\n{printed}<!-- end -->" in section("Performance")
    assert not results["quick"]
    assert {row["family"] for row in results["rows"]} == set(re.findall(r"# some rows: (.*)", (ROOT / "bench/README.md").read_text())[0].split())


def test_what_to_open_is_there() -> None:
    table = rows(section("To change X, open Y"))
    assert len(table) >= 10
    for _, where in table:
        for named in re.findall(r"`([^`]+)`", where):
            assert is_there(named), named


def is_there(named: str) -> bool:
    """A path from the root, the package or the chart; `Class.method` of the plugin; or a make target."""
    if named.startswith("make "):
        return re.search(rf"^{named.removeprefix('make ')}:", (ROOT / "Makefile").read_text(), re.MULTILINE) is not None
    if "/" not in named and re.fullmatch(r"[A-Z]\w+\.\w+", named):
        kind, _, method = named.partition(".")
        plugin = ast.parse((CHART / "files/hot_reload.py").read_text())
        return any(isinstance(node, ast.ClassDef) and node.name == kind and method in {getattr(each, "name", "") for each in node.body} for node in plugin.body)
    return any((base / named).exists() for base in (ROOT, PACKAGE, CHART))


def test_the_reasons_are_those_of_the_code_under_their_conditions() -> None:
    table = {condition: set(reasons.split(", ")) for condition, reasons in rows(section("When something is wrong"))}
    assert table.pop(Condition.READY) == {"the first failing one's"}
    code: dict[str, set[str]] = {}
    for reason, condition in CONDITION_OF.items():
        code.setdefault(condition, set()).add(str(reason))
    assert table == code


def test_the_readme_s_application_asks_what_make_run_serves() -> None:
    (block,) = documents.blocks(ROOT / "README.md", "python")
    assert 'base_url="http://localhost:4000"' in block
    assert f'api_key="{run_guide.KEY}"' in block
    (model,) = re.findall(r'model="([^"]+)"', block)
    examples = [body for path in (ROOT / "examples").glob("*.yaml") for body in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if body]
    assert any(model in body["spec"].get("aliases", ()) for body in examples)


def test_the_readme_shows_a_route_within_its_first_lines_and_stays_short() -> None:
    measured = README[README.index("<!-- bench/table.py -->") : README.index("<!-- end -->")]
    lines = README.replace(measured, "").splitlines()
    assert lines.index("```yaml") < 25
    assert len(lines) <= 220


def test_the_examples_are_counted_right() -> None:
    """Each file's row: so many routes of each kind, and their Secret."""
    words = {"chat": "chat", "embedding": "embedding", "transcription": "audio_transcription"}
    table = rows((ROOT / "examples/README.md").read_text().partition("\n## ")[0])
    for file, _, counts, secret in table:
        bodies = [body for body in yaml.safe_load_all((ROOT / "examples" / file.partition("(")[2].rstrip(")")).read_text()) if body]
        modes = [body["spec"]["mode"] for body in bodies]
        assert {kind: int(number) for number, kind in re.findall(r"(\d+) (\w+)", counts)} == {kind: modes.count(mode) for kind, mode in words.items() if mode in modes}
        assert {backend["credentialsSecretRef"]["name"] for body in bodies for backend in body["spec"]["backends"]} == {secret.split("`")[1]}
