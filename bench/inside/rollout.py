"""The same change as it is made today: stock LiteLLM, a new config file, a rolling restart; requests run meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
from kube import Kube
from load import Load
from routes import KEY

NAME = "stock"
MASTER_KEY = "sk-bench-stock-master-key"
APPLY = "application/apply-patch+yaml"
LABELS = {"app": NAME}


def config(models: int, simulator: str, newest: str) -> str:
    """LiteLLM's config file with `models` models, the last one being `newest`."""
    names = [f"model-{number}" for number in range(models - 1)] + [newest]
    params = {"api_base": f"{simulator}/azure", "api_version": "2024-10-21", "api_key": KEY}
    entries = [{"model_name": name, "litellm_params": {"model": f"azure/{name}", **params}} for name in names]
    settings = {"drop_params": True, "json_logs": True, "suppress_startup_output": True}
    return json.dumps({"model_list": entries, "litellm_settings": settings, "general_settings": {"master_key": MASTER_KEY}})


def objects(image: str, text: str, newest: str, replicas: int, env: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Path and object of each, as a chart would render them: the pods' annotation follows the config."""
    container = {
        "name": "litellm", "image": image, "args": ["--config", "/etc/litellm/config.yaml", "--port", "4000"], "ports": [{"containerPort": 4000}],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "readinessProbe": {"httpGet": {"path": "/health/readiness", "port": 4000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/litellm"}],
    }  # fmt: skip
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": NAME}}], "enableServiceLinks": False}
    template = {"metadata": {"labels": LABELS, "annotations": {"checksum/config": newest}}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template}
    return [
        ("/api/v1/namespaces/{}/configmaps/" + NAME, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {"config.yaml": text}}),
        ("/api/v1/namespaces/{}/services/" + NAME, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": {"selector": LABELS, "ports": [{"port": 4000}]}}),
        ("/apis/apps/v1/namespaces/{}/deployments/" + NAME, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, "spec": spec}),
    ]


async def restarts(kube: Kube, simulator: str, image: str, env: dict[str, str], count: int, models: int, clients: int, replicas: int = 2) -> dict[str, Any]:
    """Seconds of each of `count` changes from apply until every replica answers with the new model; requests that failed."""
    seconds, requests, failures = [], 0, dict[str, int]()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {MASTER_KEY}"}, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(model: str, url: str = f"http://{NAME}:4000") -> tuple[int, str]:
            body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
            try:
                async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                    return response.status, await response.text()
            except aiohttp.ClientError as error:
                return 0, type(error).__name__

        await _apply(kube, image, config(models, simulator, "first"), "first", replicas, env)
        await _until_rolled_out(kube, ask, "first", replicas)
        for number in range(count):
            newest = f"change-{number}"
            async with Load(ask, ["model-0"], clients) as load:
                await asyncio.sleep(1)
                began = time.perf_counter()
                await _apply(kube, image, config(models, simulator, newest), newest, replicas, env)
                await _until_rolled_out(kube, ask, newest, replicas)
                seconds.append(time.perf_counter() - began)
            requests += load.requests
            failures |= {cause: failures.get(cause, 0) + n for cause, n in load.failures.items()}
    for path, _ in objects(image, "", "", replicas, env):
        await kube.call("DELETE", path.format(kube.namespace))
    return {"seconds": seconds, "requests": requests, "failures": failures}


async def _apply(kube: Kube, image: str, text: str, newest: str, replicas: int, env: dict[str, str]) -> None:
    for path, body in objects(image, text, newest, replicas, env):
        await kube.call("PATCH", path.format(kube.namespace), body, APPLY, fieldManager="bench", force="true")


async def _until_rolled_out(kube: Kube, ask: Any, newest: str, replicas: int) -> None:
    """As `kubectl rollout status`, then a request to every pod."""
    path = f"/apis/apps/v1/namespaces/{kube.namespace}/deployments"

    def done(_: str, item: dict[str, Any]) -> bool:
        status = item.get("status") or {}
        counts = {status.get(field, 0) for field in ("updatedReplicas", "replicas", "availableReplicas")}
        return counts == {replicas} and status.get("observedGeneration") == item["metadata"]["generation"]

    async with kube.watch(path, fieldSelector=f"metadata.name={NAME}") as watch:
        await asyncio.wait_for(watch.expect(done), 400)
    pods = (await kube.call("GET", kube.core("pods"), labelSelector=f"app={NAME}"))["items"]
    for pod in pods:
        if "deletionTimestamp" not in pod["metadata"]:
            status, text = await ask(newest, f"http://{pod['status']['podIP']}:4000")
            if status != 200:
                raise RuntimeError(f"stock LiteLLM answered {status} {text}")
