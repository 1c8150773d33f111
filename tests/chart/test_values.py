"""values.yaml, its schema, the README's table and `values-everything.yaml` say the same; no option is without effect."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests.chart.conftest import Helm

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "charts" / "litellm-proxy"
SCHEMA = CHART / "values.schema.json"
README = CHART / "README.md"
EVERYTHING = HERE / "values-everything.yaml"
# Not options of this chart: what Helm and a parent chart put among its values.
OF_A_PARENT_CHART = {"global", "enabled"}
# Options of values-everything.yaml without which the chart refuses its other values.
OTHER_THAN_DEFAULT: dict[str, Any] = {
    "ingress.hosts": ["other.example"],
    "httpRoute.parentRefs": [{"name": "other"}],
    "ollama.externalUrl": "http://ollama.ollama:11434",
    "ollama.persistence.volume": {"emptyDir": {}},
}

Tree = dict[str, Any]


def _read(path: Path) -> Tree:
    """A YAML or JSON file."""
    tree: Tree = yaml.safe_load(path.read_text())
    return tree


def _options(schema: Tree, prefix: str = "") -> Iterator[tuple[str, Tree]]:
    """Path and schema of every option: what is not a section of further options."""
    for name, child in schema["properties"].items():
        path = f"{prefix}{name}"
        if "properties" in child:
            yield from _options(child, f"{path}.")
        elif path not in OF_A_PARENT_CHART:
            yield path, child


def _get(tree: Tree, path: str) -> Any:
    return reduce(lambda node, key: node[key], path.split("."), tree)


def _has(tree: Tree, path: str) -> bool:
    try:
        _get(tree, path)
    except KeyError:
        return False
    return True


def _comments() -> dict[str, str]:
    """The `# --` comment of every option in values.yaml, as one line of text."""
    found: dict[str, str] = {}
    parents: list[str] = []
    comment: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            comment = [text.removeprefix("# -- ")]
        elif text.startswith("#") and comment:
            comment.append(text.removeprefix("# "))
        elif key := re.match(r"( *)([\w-]+):", line):
            parents[len(key[1]) // 2 :] = [key[2]]
            if comment:
                found[".".join(parents)] = " ".join(comment)
            comment = []
    return found


def _strict(schema: Tree, path: str = "values") -> Iterator[str]:
    """Paths of objects that list their keys but accept others."""
    if "properties" in schema and schema.get("additionalProperties") is not False:
        yield path
    for name, child in {**schema.get("properties", {}), **schema.get("$defs", {})}.items():
        yield from _strict(child, f"{path}.{name}")


def test_schema_is_strict() -> None:
    assert list(_strict(_read(SCHEMA))) == []


def test_schema_and_values_have_the_same_keys_in_the_same_order() -> None:
    def compare(schema: Tree, values: Tree, path: str) -> None:
        assert list(schema["properties"]) == [*(sorted(OF_A_PARENT_CHART) if not path else []), *values], path
        for key, child in schema["properties"].items():
            if "properties" in child:
                compare(child, values[key], f"{path}.{key}")

    compare(_read(SCHEMA), _read(CHART / "values.yaml"), "")


def test_every_option_is_explained_once() -> None:
    assert set(_comments()) == {path for path, _ in _options(_read(SCHEMA))}


def test_everything_sets_every_option_to_something_else() -> None:
    defaults, everything = _read(CHART / "values.yaml"), _read(EVERYTHING)
    # Their default is what makes the options beside them matter.
    same = {f"{component}.serviceAccount.create" for component in ("proxy", "operator")} | {
        "proxy.podDisruptionBudget.enabled",
        "ollama.networkPolicy.enabled",
        # Instead of the chart's own server, and of its claims.
        "ollama.externalUrl",
        "ollama.persistence.volume",
    }
    for path, _ in _options(_read(SCHEMA)):
        assert _has(everything, path), f"{path} is not in {EVERYTHING.name}"
        assert (_get(everything, path) != _get(defaults, path)) == (path not in same), path


def _without(everything: Tree, path: str, default: Any) -> Tree:
    """All values but one: that has its default or, where that is what it has already, the opposite."""
    values = copy.deepcopy(everything)
    section = _get(values, path.rpartition(".")[0]) if "." in path else values
    key = path.rpartition(".")[2]
    if path in OTHER_THAN_DEFAULT:
        section[key] = OTHER_THAN_DEFAULT[path]
    elif section[key] == default:
        section[key] = not default
    else:
        del section[key]
    if path == "proxy.replicas":
        values["proxy"]["autoscaling"]["enabled"] = False
    if path == "ollama.externalUrl":
        values["ollama"]["enabled"] = False
    return values


def _render_all(helm: Helm, chart: Path, variants: dict[str, Tree]) -> dict[str, str]:
    """Render the chart with many values at once, as the dependencies of one parent: a process each is slow."""
    shutil.copytree(CHART, chart / "charts" / CHART.name)
    version = _read(CHART / "Chart.yaml")["version"]
    names = {f"v{number}": name for number, name in enumerate(variants)}
    dependencies = [{"name": CHART.name, "version": version, "alias": alias} for alias in names]
    parent = {"apiVersion": "v2", "name": "parent", "version": "0.1.0", "dependencies": dependencies}
    (chart / "Chart.yaml").write_text(json.dumps(parent))
    (chart / "values.yaml").write_text(json.dumps({alias: variants[name] for alias, name in names.items()}))
    rendered = dict.fromkeys(variants, "")
    for document in re.split("(?m)^---\n", helm.template(chart=chart))[1:]:
        source = re.match("# Source: parent/charts/(v[0-9]+)/", document)
        assert source, document
        rendered[names[source[1]]] += re.sub(rf"\b{source[1]}\b", "alias", document)
    return rendered


def test_every_option_has_an_effect(helm: Helm, tmp_path: Path) -> None:
    defaults, everything = _read(CHART / "values.yaml"), _read(EVERYTHING)
    paths = [path for path, _ in _options(_read(SCHEMA))]
    variants = {path: _without(everything, path, _get(defaults, path)) for path in paths}
    rendered = _render_all(helm, tmp_path, {"": everything, **variants})
    assert [path for path in paths if rendered[path] == rendered[""]] == []


def _one_line(node: Any) -> str:
    return json.dumps(node, ensure_ascii=False)


def _pretty(node: Any, indent: int = 0, room: int = 0) -> str:
    """JSON in which whatever fits into a line of 120 characters stays on it; `room` is taken by the key before it."""
    flat = _one_line(node)
    if not isinstance(node, dict | list) or indent + room + len(flat) < 118:
        return flat
    inner = " " * (indent + 2)
    if isinstance(node, dict):
        items = [f"{inner}{_one_line(key)}: {_pretty(value, indent + 2, len(key) + 4)}" for key, value in node.items()]
    else:
        items = [f"{inner}{_pretty(value, indent + 2)}" for value in node]
    start, end = "{}" if isinstance(node, dict) else "[]"
    return f"{start}\n" + ",\n".join(items) + f"\n{' ' * indent}{end}"


def _in_sync(file: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        assert not os.environ.get("CI"), "generated text is rewritten by people, not by CI"
        file.write_text(text)
    assert file.read_text() == text, f"{file.name} is not what values.yaml says: UPDATE_GOLDEN=1 rewrites it"


def test_schema_describes_options_as_values_do() -> None:
    schema, comments = _read(SCHEMA), _comments()
    for path, option in _options(schema):
        described = {"description": comments[path], **{key: option[key] for key in option if key != "description"}}
        option.clear()
        option.update(described)
    _in_sync(SCHEMA, _pretty(schema) + "\n")


def test_readme_lists_every_option() -> None:
    defaults, comments = _read(CHART / "values.yaml"), _comments()
    rows = ["| Value | Default | |", "|---|---|---|"]
    for path, _ in _options(_read(SCHEMA)):
        default = _one_line(_get(defaults, path))
        shown = f"`{default}`" if len(default) <= 60 else "see `values.yaml`"
        rows.append(f"| `{path}` | {shown} | {comments[path]} |")
    start, end = "<!-- values -->", "<!-- end of values -->"
    before, _, rest = README.read_text().partition(start)
    _in_sync(README, f"{before}{start}\n" + "\n".join(rows) + f"\n{end}{rest.partition(end)[2]}")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("proxy.replica=2", "at '/proxy': additional properties 'replica' not allowed"),
        ("operator.watchNamespace={ai}", "at '/operator': additional properties 'watchNamespace' not allowed"),
        ("proxy.replicas=two", "at '/proxy/replicas': got string, want integer"),
        ("service.type=Ingress", "at '/service/type': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'"),
        ("proxy.image.digest=latest", "at '/proxy/image/digest': 'latest' does not match pattern"),
        ("proxy.env.NO_DOCS=1", "at '/proxy/env/NO_DOCS': got number, want null or string"),
        ("proxy.env.MODELROUTE_DIR=/tmp", "invalid propertyName 'MODELROUTE_DIR'"),
        ("config.extra.litellm_settings.drop_params=false", "invalid propertyName 'litellm_settings'"),
        ("config.general_settings.master_key=1234", "put it into a Secret and name that in masterKey.existingSecret."),
        ("config.extra.model_list[0].model_name=a", "models are declared as ModelRoute objects"),
        ("ingress.enabled=true", "ingress.enabled is true, but ingress.hosts names no host."),
        ("httpRoute.enabled=true", "httpRoute.enabled is true, but httpRoute.parentRefs names no Gateway."),
        ("operator.watchNamespaces={*,ai}", 'is either ["*"], all namespaces, or a list of names.'),
        ("proxy.serviceAccount.create=false", "proxy.serviceAccount.name names none."),
        ("ollama.enabled=true,ollama.externalUrl=http://ollama:11434", "set one of the two."),
        ("ollama.env.OLLAMA_MODELS=/tmp", "invalid propertyName 'OLLAMA_MODELS'"),
        ("ollama.insecureRegistries={http://registry}", "does not match pattern"),
    ],
)
def test_mistake_is_refused_with_a_sentence(helm: Helm, argument: str, sentence: str) -> None:
    assert sentence in helm.refusal(f"--set={argument}")


def test_a_release_name_that_cannot_name_a_service_is_refused(helm: Helm) -> None:
    assert '"4models" cannot name a Service' in helm.refusal(release="4models")


def test_a_parent_chart_may_pass_its_globals(helm: Helm) -> None:
    assert helm.template("--set=global.registry=example", "--set=enabled=true")
