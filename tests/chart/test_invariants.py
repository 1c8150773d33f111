"""What holds for every render, whatever the values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import kubernetes_validate

if TYPE_CHECKING:
    from tests.chart.conftest import Helm, Object

SECRET_KEYS = {"LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "MODELROUTE_STATUS_TOKEN"}


def _of(objects: list[Object], kind: str) -> list[Object]:
    return [obj for obj in objects if obj["kind"] == kind]


def _pods(objects: list[Object]) -> Iterator[tuple[Object, dict[str, Any]]]:
    """Each Deployment or StatefulSet with the spec of its pods."""
    for deployment in [*_of(objects, "Deployment"), *_of(objects, "StatefulSet")]:
        yield deployment, deployment["spec"]["template"]["spec"]


def _component(objects: list[Object], component: str) -> tuple[Object, dict[str, Any]]:
    label = "app.kubernetes.io/component"
    return next(found for found in _pods(objects) if found[0]["metadata"]["labels"][label] == component)


def test_schemas_of_kubernetes_accept_every_object(objects: list[Object]) -> None:
    unknown = []
    for obj in objects:
        try:
            kubernetes_validate.validate(obj, "1.34", strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            unknown.append(obj["kind"])
    assert set(unknown) <= {"HTTPRoute"}


def test_objects_are_unique_and_in_a_namespace(objects: list[Object]) -> None:
    seen = set()
    for obj in objects:
        metadata = obj["metadata"]
        cluster_wide = obj["kind"].startswith(("Cluster", "CustomResource"))
        assert cluster_wide != ("namespace" in metadata), metadata["name"]
        key = (obj["kind"], metadata.get("namespace"), metadata["name"])
        assert key not in seen
        seen.add(key)


def test_names_fit_in_63_characters(objects: list[Object]) -> None:
    # Names of roles are not DNS labels.
    names = [obj["metadata"]["name"] for obj in objects if "Role" not in obj["kind"]]
    names += [name for name in _mounted(objects) if name]
    # Kubernetes labels a StatefulSet's pods with the name of their revision: its own and ten characters.
    names += [f"{obj['metadata']['name']}-0123456789" for obj in _of(objects, "StatefulSet")]
    for name in names:
        assert len(name) <= 63, name


def test_pods_meet_the_restricted_standard(objects: list[Object]) -> None:
    for _, pod in _pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {kind for volume in pod["volumes"] for kind in volume} <= {"name", "projected", "secret", "emptyDir", "configMap"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_probes_cost_nothing(objects: list[Object]) -> None:
    free = {"/health/liveliness", "/modelroutes/ready", "/healthz", "/"}
    for _, pod in _pods(objects):
        for container in pod["containers"]:
            probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
            assert {probe["httpGet"]["path"] for probe in probes} <= free
            assert {probe["httpGet"]["port"] for probe in probes} <= {port["name"] for port in container["ports"]}


def test_images_are_pinned(objects: list[Object]) -> None:
    for _, pod in _pods(objects):
        for container in pod["containers"]:
            assert re.fullmatch(r"[^:@]+:v?\d[^:@]*(@sha256:[0-9a-f]{64})?", container["image"])


def test_no_secret_is_in_the_output(objects: list[Object], text: str) -> None:
    assert not _of(objects, "Secret")
    assert not re.search(r"\bsk-\w", text)
    _, pod = _component(objects, "proxy")
    from_secret = {entry["name"] for entry in pod["containers"][0]["env"] if "secretKeyRef" in entry.get("valueFrom", {})}
    assert from_secret >= SECRET_KEYS
    for _, pod in _pods(objects):
        for entry in pod["containers"][0]["env"]:
            if re.search("(KEY|TOKEN|SECRET|PASSWORD)$", entry["name"]) and entry["name"] != "MODELROUTE_MASTER_KEY_SECRET":
                assert entry["valueFrom"].keys() == {"secretKeyRef"}, entry["name"]


def test_no_environment_variable_is_set_twice(objects: list[Object]) -> None:
    for _, pod in _pods(objects):
        names = [entry["name"] for entry in pod["containers"][0]["env"]]
        assert len(names) == len(set(names))


def _mounted(objects: list[Object]) -> set[str]:
    """Names of the objects at /etc/modelroute, which the operator writes."""
    _, pod = _component(objects, "proxy")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    sources = volumes["routes"]["projected"]["sources"]
    assert all(source["configMap"]["optional"] for source in sources)
    assert volumes["credentials"]["secret"]["optional"]
    return {source["configMap"]["name"] for source in sources} | {volumes["credentials"]["secret"]["secretName"]}


def test_proxy_may_read_exactly_what_it_mounts(objects: list[Object]) -> None:
    deployment, pod = _component(objects, "proxy")
    role = next(role for role in _of(objects, "Role") if role["metadata"]["name"] == deployment["metadata"]["name"])
    assert {name for rule in role["rules"] for name in rule["resourceNames"]} == _mounted(objects)
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    bindings = [obj for obj in objects if obj["kind"].endswith("RoleBinding")]
    its_own = [obj["roleRef"]["name"] for obj in bindings if obj["subjects"][0]["name"] == pod["serviceAccountName"]]
    assert its_own == [role["metadata"]["name"]]


def test_operator_changes_only_what_it_writes(objects: list[Object]) -> None:
    changing = {"create", "patch", "update", "delete"}
    master_key = {entry["valueFrom"]["secretKeyRef"]["name"] for entry in _keys(objects)}
    for role in [*_of(objects, "Role"), *_of(objects, "ClusterRole")]:
        for rule in role["rules"]:
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            named = set(rule.get("resourceNames", []))
            if not named and {"configmaps", "secrets"} & set(rule["resources"]):
                assert changing & set(rule["verbs"]) <= {"create"}
            assert named <= _mounted(objects) | master_key
            if named & master_key:
                assert rule["verbs"] == ["patch"], "the master key is never deleted"


def _keys(objects: list[Object]) -> list[dict[str, Any]]:
    _, pod = _component(objects, "proxy")
    return [entry for entry in pod["containers"][0]["env"] if entry["name"] in SECRET_KEYS]


def test_bindings_name_roles_and_accounts_of_the_chart(objects: list[Object]) -> None:
    roles = {(role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"]) for role in objects}
    for binding in objects:
        if binding["kind"].endswith("RoleBinding"):
            reference = binding["roleRef"]
            assert (reference["kind"], binding["metadata"].get("namespace"), reference["name"]) in roles
            subject = binding["subjects"][0]
            assert (subject["kind"], subject["namespace"], subject["name"]) in roles


def test_a_cluster_role_only_for_all_namespaces(case: str, objects: list[Object]) -> None:
    assert bool(_of(objects, "ClusterRole")) == (case == "all-namespaces")


def test_selectors_match_the_pods(objects: list[Object]) -> None:
    templates = [workload["spec"]["template"]["metadata"]["labels"] for workload, _ in _pods(objects)]
    for obj in objects:
        spec = obj.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector")
        if not selector or obj["kind"] == "CustomResourceDefinition":
            continue
        wanted = selector.get("matchLabels", selector)
        matched = [labels for labels in templates if wanted.items() <= labels.items()]
        assert len(matched) == 1, f"{obj['kind']} {obj['metadata']['name']}"
        assert wanted.items() <= obj["metadata"]["labels"].items()


def test_a_pod_may_finish_what_it_answers(objects: list[Object]) -> None:
    _, pod = _component(objects, "proxy")
    container = pod["containers"][0]
    drain = next(int(entry["value"]) for entry in container["env"] if entry["name"] == "GRACEFUL_SHUTDOWN_TIMEOUT")
    delay = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > delay + drain


def test_services_leak_nothing_into_the_environment(objects: list[Object]) -> None:
    """A Service named `litellm` would set LITELLM_PORT."""
    for _, pod in _pods(objects):
        assert pod["enableServiceLinks"] is False


def test_names_that_yaml_takes_for_something_else_stay_names(helm: Helm) -> None:
    for obj in helm.objects("--namespace=123", "--set-string=masterKey.existingSecret=456", release="on"):
        kubernetes_validate.validate(obj, "1.34", strict=True)
        assert obj["metadata"].get("namespace", "123") == "123"
