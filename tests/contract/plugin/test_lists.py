"""What can be asked of the proxy about its routes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from contract.plugin.provider import Simulator
    from contract.plugin.world import Proxy


def test_lists_name_every_route_and_alias_in_order_without_activating_any(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("b", aliases=["a-alias"]), sim.route("a"), sim.route("hidden", credentials={"api_key": "nowhere"}))
    active = proxy.status()["active"]
    for path in ("/v1/models", "/models"):
        listed = proxy.client.get(path).json()
        assert listed["object"] == "list"
        assert [model["id"] for model in listed["data"] if model["id"] != "from-config"] == ["a", "a-alias", "b"]
    model = next(model for model in listed["data"] if model["id"] == "a-alias")
    assert model == {"id": "a-alias", "object": "model", "created": 1677610602, "owned_by": "openai", "mode": "chat", "max_input_tokens": 8192}
    assert proxy.status()["active"] <= active


def test_one_model_can_be_retrieved(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("a/b.c:d", aliases=["plain"], key="ai/r"))
    for path in ("/v1/models/plain", "/models/plain", "/v1/models/from-config"):
        assert proxy.client.get(path).json()["id"] == path.rpartition("/")[2]
    assert proxy.client.get("/v1/models/a/b.c:d").json()["id"] == "a/b.c:d"
    missing = proxy.client.get("/v1/models/missing")
    assert missing.status_code == 404
    assert "missing" in missing.json()["error"]["message"]


def test_anthropic_clients_get_their_own_shape(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("a"))
    listed = proxy.client.get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
    assert {entry["id"] for entry in listed["data"]} == {"a", "from-config"}
    assert {entry["type"] for entry in listed["data"]} == {"model"}


def test_model_info_tells_what_litellm_knows_and_no_credential(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("a", aliases=["other"], params={"model": "openai/gpt-4.1"}))
    for path in ("/model/info", "/v1/model/info"):
        entries = {entry["model_name"]: entry for entry in proxy.client.get(path).json()["data"]}
        assert entries.keys() == {"a", "from-config"}
        assert entries["a"]["litellm_params"]["model"] == "openai/gpt-4.1"
        assert "api_key" not in entries["a"]["litellm_params"]
        info = entries["a"]["model_info"]
        assert (info["id"], info["aliases"], info["max_input_tokens"]) == ("ai/a/default", ["other"], 8192)
        assert info["input_cost_per_token"] > 0


def test_lists_want_a_key(proxy: Proxy, sim: Simulator) -> None:
    for path in ("/v1/models", "/models", "/v1/models/a", "/model/info", "/v1/model/info"):
        assert httpx.get(proxy.url + path).status_code >= 400
    assert httpx.get(f"{proxy.url}/modelroutes/ready").json() == {"ready": True}


def test_status_wants_its_token(proxy: Proxy) -> None:
    assert httpx.get(f"{proxy.url}/modelroutes/status").status_code == 401
    assert proxy.client.get("/modelroutes/status").status_code == 401  # the master key is another


def test_status_answers_when_there_is_news_and_not_before(proxy: Proxy, sim: Simulator) -> None:
    before = proxy.serve(sim.route("a"))
    began = time.monotonic()
    assert proxy.status(after=before["version"], wait=0.3)["version"] == before["version"]
    assert time.monotonic() - began >= 0.3
    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(proxy.status(after=before["version"], wait=20)))
    waiting.start()
    proxy.serve(sim.route("a", "b"))
    waiting.join(5)
    assert answers[0]["version"] > before["version"]
    assert answers[0]["source"] == "files"
    assert (answers[0]["routes"], answers[0]["message"]) == (1, "")


def test_health_and_groups_know_the_routes_in_use(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("healthy"))
    proxy.answer("healthy")
    groups = proxy.client.get("/model_group/info").json()["data"]
    assert "healthy" in {group["model_group"] for group in groups}
    health = proxy.client.get("/health").json()
    assert health["healthy_count"] >= 2, health
