"""Every command that a document has its reader type is one that works."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import yaml
from contract.readme import documents
from contract.readme.documents import CHART, ROOT, Ran
from golden import harness
from modelroute_operator.edges import admission

UNREACHABLE = re.compile(r"(127\.0\.0\.1:1\b.*(refused|did you specify)|cluster unreachable)")
each = pytest.mark.parametrize("path", documents.SHELL, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def ran(path: Path) -> Ran:
    return documents.run(path, Path(mkdtemp(prefix="readme-")))


@each
def test_a_shell_takes_the_blocks_as_they_are_pasted(path: Path) -> None:
    assert ran(path).errors == ""
    assert ran(path).status == 0


@each
def test_kubectl_and_helm_find_nothing_wrong_but_that_there_is_no_cluster(path: Path) -> None:
    commands = [*ran(path).of("kubectl"), *ran(path).of("helm")]
    assert commands
    assert [f"{command.text}: {command.said}" for command in commands if not UNREACHABLE.search(command.said)] == []


@each
def test_make_has_the_targets(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for command in ran(path).of("make") for word in command.arguments if "=" not in word}
    named |= set(re.findall(r"`make ([a-z-]+)", path.read_text()))
    assert named - targets == set()


@each
def test_objects_named_in_commands_are_those_of_the_chart_and_the_examples(path: Path) -> None:
    found = {word for command in ran(path).of("kubectl") for word in command.arguments if re.fullmatch(r"[a-z]+/[a-z0-9-]+", word) and not (ROOT / word).exists()}
    assert found - rendered() - example_routes() == set()


@each
def test_helm_renders_with_the_values_that_are_set(path: Path) -> None:
    for command in ran(path).of("helm"):
        if command.arguments[0] in {"install", "upgrade"}:
            values = [word for flag, word in zip(command.arguments, command.arguments[1:], strict=False) if flag == "--set"]
            assert template(*(f"--set={value}" for value in values))


@each
def test_routes_given_on_standard_input_pass_admission(path: Path) -> None:
    routes = [body for command in ran(path).commands if command.stdin.startswith("apiVersion") for body in yaml.safe_load_all(command.stdin)]
    assert [admission.faults(body["spec"]) for body in routes] == [[]] * len(routes)
    if path == documents.NOTES:
        assert len(routes) == 1, "the notes lead to a first route"


def test_the_readme_s_first_route_passes_admission_and_is_served() -> None:
    (body,) = (yaml.safe_load(block) for block in documents.blocks(ROOT / "README.md", "yaml"))
    assert admission.faults(body["spec"]) == []
    secret = {"kind": "Secret", "metadata": {"name": "openai"}, "stringData": {"OPENAI_API_KEY": "sk-test"}}
    outcome = harness.Operator({}).turn([body, secret], now=harness.NOW)
    assert outcome.statuses["ai/openai-gpt41"]["conditions"][-1]["status"] == "True"


def test_the_chart_s_readme_shows_values_that_helm_takes(tmp_path: Path) -> None:
    shown = documents.blocks(CHART / "README.md", "yaml")
    assert shown
    for number, block in enumerate(shown):
        (tmp_path / f"{number}.yaml").write_text(block)
        assert template(f"--values={tmp_path / f'{number}.yaml'}")


def template(*arguments: str) -> str:
    helm = [ROOT / ".kube/bin/helm", "template", "litellm", CHART, "--namespace=ai", "--kube-version=1.34.0"]
    done = subprocess.run([*helm, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def rendered() -> set[str]:
    """The chart's objects as kubectl names them."""
    bodies = [body for body in yaml.load_all(template(), Loader=yaml.CSafeLoader) if body]
    return {f"{body['kind'].lower()}/{body['metadata']['name']}" for body in bodies}


@cache
def example_routes() -> set[str]:
    files = (ROOT / "examples").glob("*.yaml")
    bodies = [body for path in files for body in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if body]
    of_notes = {"modelroute/openai-gpt41-mini"}
    return {f"modelroute/{body['metadata']['name']}" for body in bodies} | of_notes
