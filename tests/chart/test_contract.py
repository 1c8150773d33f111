"""What the operator and the plugin rely on: names, files, environment and settings of a release `litellm` in `ai`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests.chart.conftest import Helm, Object

FILES = Path(__file__).parents[2] / "charts" / "litellm-proxy" / "files"


def _object(objects: list[Object], kind: str, name: str) -> Object:
    return next(obj for obj in objects if (obj["kind"], obj["metadata"]["name"]) == (kind, name))


def _environment(objects: list[Object], deployment: str) -> dict[str, str]:
    """Variables with a plain value."""
    pod = _object(objects, "Deployment", deployment)["spec"]["template"]["spec"]
    return {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"] if "value" in entry}


def _config(objects: list[Object]) -> dict[str, Any]:
    """LiteLLM's config file."""
    config: dict[str, Any] = yaml.safe_load(_object(objects, "ConfigMap", "litellm-config")["data"]["config.yaml"])
    return config


def test_objects_have_the_agreed_names(default: list[Object]) -> None:
    names = sorted(f"{obj['kind']}/{obj['metadata']['name']}" for obj in default)
    assert names == [
        "ConfigMap/litellm-config",
        "CustomResourceDefinition/modelroutes.modelroute.dev",
        "Deployment/litellm-operator",
        "Deployment/litellm-proxy",
        "PodDisruptionBudget/litellm-proxy",
        "Role/litellm-operator",
        "Role/litellm-operator.ai",
        "Role/litellm-proxy",
        "RoleBinding/litellm-operator",
        "RoleBinding/litellm-operator.ai",
        "RoleBinding/litellm-proxy",
        "Service/litellm",
        "ServiceAccount/litellm-operator",
        "ServiceAccount/litellm-proxy",
    ]


def test_proxy_mounts_what_the_operator_writes(default: list[Object]) -> None:
    pod = _object(default, "Deployment", "litellm-proxy")["spec"]["template"]["spec"]
    paths = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert paths == {
        "config": "/etc/litellm",
        "routes": "/etc/modelroute/routes",
        "credentials": "/etc/modelroute/credentials",
        "tmp": "/tmp",
    }
    sources = next(volume for volume in pod["volumes"] if volume["name"] == "routes")["projected"]["sources"]
    shards = [f"litellm-routes-{number:02d}" for number in range(32)]
    assert [source["configMap"]["name"] for source in sources] == [*shards, "litellm-routes"]


def test_plugin_learns_where_its_routes_are(default: list[Object]) -> None:
    expected = {
        "MODELROUTE_DIR": "/etc/modelroute",
        "MODELROUTE_ROUTES": "litellm-routes",
        "MODELROUTE_CREDENTIALS": "litellm-credentials",
    }
    assert expected.items() <= _environment(default, "litellm-proxy").items()


def test_operator_learns_its_release(default: list[Object]) -> None:
    assert _environment(default, "litellm-operator") == {
        "MODELROUTE_RELEASE": "litellm",
        "MODELROUTE_WATCH_NAMESPACES": "ai",
        "MODELROUTE_ALLOWED_NAMESPACES": "",
        "MODELROUTE_ROUTE_SELECTOR": "",
        "MODELROUTE_MASTER_KEY_SECRET": "litellm-master-key",
        "MODELROUTE_MASTER_KEY_EXISTING": "false",
        "MODELROUTE_OLLAMA_API_BASE": "",
        "MODELROUTE_LOG_LEVEL": "info",
        "MODELROUTE_LOG_FORMAT": "json",
    }


def test_operator_learns_where_ollama_is(helm: Helm) -> None:
    ours = _environment(helm.objects("--set=ollama.enabled=true", "--set=ollama.insecureRegistries={registry:5000,other}"), "litellm-operator")
    assert {name: value for name, value in ours.items() if "OLLAMA" in name} == {
        "MODELROUTE_OLLAMA_API_BASE": "http://litellm-ollama:11434",
        "MODELROUTE_OLLAMA_SERVICE": "litellm-ollama-pods",
        "MODELROUTE_OLLAMA_STORAGE": "50Gi",
        "MODELROUTE_OLLAMA_INSECURE_REGISTRIES": "registry:5000,other",
    }
    elsewhere = _environment(helm.objects("--set=ollama.externalUrl=http://ollama.ollama:11434"), "litellm-operator")
    assert {name: value for name, value in elsewhere.items() if "OLLAMA" in name} == {"MODELROUTE_OLLAMA_API_BASE": "http://ollama.ollama:11434"}


def test_each_ollama_replica_has_a_name_and_a_volume(helm: Helm) -> None:
    objects = helm.objects("--set=ollama.enabled=true")
    workload = _object(objects, "StatefulSet", "litellm-ollama")["spec"]
    assert _object(objects, "Service", workload["serviceName"])["spec"]["clusterIP"] == "None"
    mounts = {mount["mountPath"] for mount in workload["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts == {"/var/lib/ollama", "/tmp"}
    assert [claim["metadata"]["name"] for claim in workload["volumeClaimTemplates"]] == ["models"]


def test_only_proxy_and_operator_reach_ollama(helm: Helm) -> None:
    policy = _object(helm.objects("--set=ollama.enabled=true"), "NetworkPolicy", "litellm-ollama")["spec"]
    callers = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for rule in policy["ingress"] for peer in rule["from"]]
    assert callers == ["proxy", "operator"]


def test_a_gpu_is_asked_for_as_a_limit(helm: Helm) -> None:
    objects = helm.objects("--set=ollama.enabled=true", "--set=ollama.gpu.count=2", "--set=ollama.gpu.runtimeClassName=nvidia")
    pod = _object(objects, "StatefulSet", "litellm-ollama")["spec"]["template"]["spec"]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": 2}


def test_plugin_is_shipped_byte_by_byte(default: list[Object]) -> None:
    assert _object(default, "ConfigMap", "litellm-config")["data"]["hot_reload.py"] == (FILES / "hot_reload.py").read_text()


def test_crd_is_the_generated_one_and_is_kept(default: list[Object]) -> None:
    crd = _object(default, "CustomResourceDefinition", "modelroutes.modelroute.dev")
    assert crd["metadata"].pop("annotations")["helm.sh/resource-policy"] == "keep"
    generated = yaml.safe_load((FILES / "crds" / "modelroutes.yaml").read_text())
    generated["metadata"].pop("annotations", None)
    assert crd == generated


def test_plugin_and_master_key_are_always_configured(default: list[Object]) -> None:
    config = _config(default)
    assert config["litellm_settings"]["callbacks"] == ["hot_reload.instance"]
    assert config["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"
    assert "model_list" not in config


@pytest.mark.parametrize(
    ("setting", "callbacks"),
    [
        ('["prometheus", "my.guard"]', ["hot_reload.instance", "prometheus", "my.guard"]),
        ('["prometheus", "hot_reload.instance"]', ["hot_reload.instance", "prometheus"]),
        ('"prometheus"', ["hot_reload.instance", "prometheus"]),
        ("null", ["hot_reload.instance"]),
    ],
)
def test_callbacks_of_the_user_are_kept(helm: Helm, setting: str, callbacks: list[str]) -> None:
    config = _config(helm.objects(f"--set-json=config.litellm_settings.callbacks={setting}"))
    assert config["litellm_settings"]["callbacks"] == callbacks


def test_settings_of_the_user_win(helm: Helm) -> None:
    overrides = '{"request_timeout": 30, "json_logs": null, "max_budget": 1000000}'
    settings = _config(helm.objects(f"--set-json=config.litellm_settings={overrides}"))["litellm_settings"]
    assert settings["request_timeout"] == 30
    assert settings["max_budget"] == 1_000_000
    assert settings["drop_params"] is True
    assert "json_logs" not in settings


def _checksum(objects: list[Object]) -> str:
    template = _object(objects, "Deployment", "litellm-proxy")["spec"]["template"]
    checksum: str = template["metadata"]["annotations"]["checksum/config"]
    return checksum


def test_changed_settings_replace_the_pods_and_nothing_else_does(helm: Helm, default: list[Object]) -> None:
    assert _checksum(helm.objects("--set=config.litellm_settings.num_retries=3")) != _checksum(default)
    assert _checksum(helm.objects("--set=commonLabels.team=platform")) == _checksum(default)


@pytest.mark.parametrize(("kubernetes", "action"), [("1.29.9", "exec"), ("1.30.0", "sleep"), ("v1.31.2-eks-5e0fdde", "sleep")])
def test_delay_before_shutdown_suits_the_cluster(helm: Helm, kubernetes: str, action: str) -> None:
    pod = _object(helm.objects(kubernetes=kubernetes), "Deployment", "litellm-proxy")["spec"]["template"]["spec"]
    assert list(pod["containers"][0]["lifecycle"]["preStop"]) == [action]


def test_an_existing_master_key_is_only_read(helm: Helm) -> None:
    objects = helm.objects("--set=masterKey.existingSecret=mine")
    assert _environment(objects, "litellm-operator")["MODELROUTE_MASTER_KEY_EXISTING"] == "true"
    rules = _object(objects, "Role", "litellm-operator")["rules"]
    assert "mine" not in [name for rule in rules for name in rule.get("resourceNames", [])]


def test_releases_of_one_name_share_a_watched_namespace(helm: Helm) -> None:
    """Helm would refuse the second one, were a role's name the same."""
    roles = [
        {obj["metadata"]["name"] for obj in helm.objects(*args) if obj["metadata"].get("namespace") == "shared"}
        for args in (
            ("--set=operator.watchNamespaces={shared}",),
            ("--set=operator.watchNamespaces={shared}", "--namespace=other"),
        )
    ]
    assert roles == [{"litellm-operator.ai"}, {"litellm-operator.other"}]


def test_a_dotted_release_name_names_a_service(helm: Helm) -> None:
    services = [obj["metadata"]["name"] for obj in helm.objects(release="llm.v2") if obj["kind"] == "Service"]
    assert services == ["llm-v2"]
