"""Manifests from files: what is taken, and "file:line: sentence" for what is not."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from modelroute_operator.core import routes
from modelroute_operator.edges import manifests
from modelroute_operator.edges.manifests import Manifests
from unit import make

GOOD = """
    apiVersion: modelroute.dev/v1alpha1
    kind: ModelRoute
    metadata: {name: good}
    spec:
      backends:
        - {name: default, provider: azure, apiBase: https://a.example, apiVersion: 2024-10-21}
"""


def read(folder: Path, **files: str) -> Manifests:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(textwrap.dedent(text).lstrip("\n"))
    return manifests.read(folder)


def test_a_date_is_a_string_as_kubectl_reads_it(tmp_path: Path) -> None:
    found = read(tmp_path, a=GOOD)
    assert found.faults == []
    spec = found.routes["default/good"].spec
    assert spec
    assert spec.backends[0].api_version == "2024-10-21"
    assert found.places == {"default/good": f"{tmp_path}/a.yaml:1"}


FAULTY = {
    "a typo in a field": ("        - {name: default, provider: openai, share: 2}", 6, "ModelRoute r: spec.backends[0]: unknown field share; known are apiBase"),
    "a number out of range": ("        - name: default\n          provider: openai\n          weight: 0", 8, "ModelRoute r: spec.backends[0].weight: 0 is less than the minimum of 1"),
    "a rule of one backend": ("        - name: default\n          provider: azure", 6, "ModelRoute r: spec.backends[0]: azure needs apiBase"),
    "a rule of params": (
        "        - name: default\n          provider: openai\n          params:\n            api_key: sk-x", 8, "ModelRoute r: spec.backends[0].params: params.api_key is a credential",
    ),
    "something missing": ("        - {provider: openai}", 6, "ModelRoute r: spec.backends[0]: 'name' is a required property"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTY)
def test_a_fault_names_file_and_line(tmp_path: Path, what: str) -> None:
    backend, line, sentence = FAULTY[what]
    text = f"apiVersion: modelroute.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: r}}\nspec:\n  backends:\n{textwrap.indent(textwrap.dedent(backend), '    ')}\n"
    (tmp_path / "a.yaml").write_text(text)
    found = manifests.read(tmp_path)
    (fault,) = found.faults
    assert fault.startswith(f"{tmp_path}/a.yaml:{line}: {sentence}")
    assert "sk-x" not in fault
    assert found.routes == {}


OBJECTS = {
    "not YAML": ("a: [1", ":1: not readable as YAML"),
    "no object": ("just text", ":1: no Kubernetes object: apiVersion, kind and metadata.name are needed"),
    "no name": ("kind: ModelRoute\nmetadata: {}", ":1: no Kubernetes object"),
    "an unknown tag": ("kind: Secret\nmetadata: {name: s}\nstringData: {k: !vault x}", ""),
    "a Secret that is no base64": ("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: '%%%'}", ""),
    "a name that no object may have": ("apiVersion: modelroute.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: My_Route}\nspec: {backends: [{name: a, provider: openai}]}", ""),
}


@pytest.mark.parametrize("what", OBJECTS)
def test_what_is_no_object_is_a_fault_and_costs_no_other_file(tmp_path: Path, what: str) -> None:
    text, sentence = OBJECTS[what]
    found = read(tmp_path, bad=text, good=GOOD)
    (fault,) = found.faults
    assert fault.startswith(f"{tmp_path}/bad.yaml{sentence}")
    assert set(found.routes) == {"default/good"}


def test_a_route_written_twice_is_a_fault_that_names_the_first(tmp_path: Path) -> None:
    found = read(tmp_path, a=GOOD, b=GOOD)
    assert found.faults == [f"{tmp_path}/b.yaml:1: ModelRoute default/good is already at {tmp_path}/a.yaml:1: rename one"]


def test_the_order_of_files_and_documents_stands_for_age(tmp_path: Path) -> None:
    one = "apiVersion: modelroute.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: {}}}\nspec: {{modelName: gpt, backends: [{{name: a, provider: openai}}]}}\n"
    found = read(tmp_path, b=one.format("a"), a=one.format("z") + "---\n" + one.format("b"))
    resolution = routes.resolve(make.snapshot(found.routes.values()))
    assert list(resolution.served) == ["default/z"]
    assert "belongs to ModelRoute default/z" in resolution.problems["default/a"][0].message


def test_secrets_are_taken_decoded_and_trimmed_and_other_kinds_ignored(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        a="""
        kind: Secret
        metadata: {name: s, namespace: ai}
        data: {coded: dmFsdWUK}
        stringData: {plain: " text "}
        ---
        kind: ConfigMap
        metadata: {name: c}
        ---
        kind: ModelRoute
        apiVersion: example.com/v1
        metadata: {name: of-another-group}
        """,
    )
    assert found.faults == []
    assert {key: sealed.reveal() for key, sealed in found.secrets["ai", "s"].items()} == {"coded": "value", "plain": "text"}
    assert found.routes == {}


def test_a_single_file_and_json_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(
        '{"apiVersion": "modelroute.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "r"}, "spec": {"backends": [{"name": "a", "provider": "openai"}]}}'
    )
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert set(manifests.read(tmp_path).routes) == set(manifests.read(tmp_path / "r.json").routes) == {"default/r"}


def test_a_change_of_a_file_is_noticed_and_calm_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a")
    stamps = manifests.changed_since(tmp_path, {})
    assert stamps
    assert manifests.changed_since(tmp_path, stamps) is None
    (tmp_path / "a.yaml").write_text("ab")
    assert manifests.changed_since(tmp_path, stamps)
    (tmp_path / "a.yaml").unlink()
    assert manifests.changed_since(tmp_path, stamps) == {}


def test_the_examples_are_without_fault() -> None:
    found = manifests.read(Path(__file__).parents[2] / "examples")
    assert found.faults == []
    assert len(found.routes) == 33
