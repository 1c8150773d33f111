"""A change of the routes takes effect in the running proxy."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from contract.plugin.provider import AZURE_KEY, CREDENTIALS
from contract.plugin.world import Configuration, eventually

if TYPE_CHECKING:
    from contract.plugin.provider import Simulator
    from contract.plugin.world import Proxy


def test_new_route_serves_without_restart(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("old"))
    assert proxy.chat("new").status_code == 404
    proxy.serve(sim.route("old"), sim.route("new"))
    assert proxy.answer("new") == "azure new says: Hello"
    assert proxy.answer("old") == "azure old says: Hello"


def test_request_after_a_change_goes_to_the_new_backend(proxy: Proxy, sim: Simulator) -> None:
    for n in range(8):
        proxy.serve(sim.route("moving", f"target-{n}"))
        assert proxy.answer("moving") == f"azure target-{n} says: Hello"


def test_deleted_route_is_gone_at_once_with_openai_s_error(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("kept"), sim.route("deleted"))
    proxy.answer("deleted")
    proxy.serve(sim.route("kept"))
    response = proxy.chat("deleted")
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "404")
    assert "`deleted`" in error["message"]
    assert "/v1/models" in error["message"]
    assert "kubectl get modelroutes" in error["message"]
    assert "deleted" not in proxy.names()
    assert proxy.answer("kept")


def test_alias_moves_from_one_route_to_another(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("one", aliases=["chat-default"]), sim.route("two"))
    assert proxy.answer("chat-default") == "azure one says: Hello"
    assert proxy.chat("chat-default").json()["model"] == "chat-default"
    proxy.serve(sim.route("one"), sim.route("two", aliases=["chat-default"]))
    assert proxy.answer("chat-default") == "azure two says: Hello"
    assert proxy.answer("one") == "azure one says: Hello"


def test_renamed_route_answers_to_its_new_name_only_and_frees_the_old_one(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("before", "first", key="ai/r"))
    proxy.answer("before")
    proxy.serve(sim.route("after", "first", key="ai/r"))
    assert proxy.answer("after")
    assert proxy.chat("before").status_code == 404
    proxy.serve(sim.route("after", "first", key="ai/r"), sim.route("before", "second", key="ai/other"))
    assert {proxy.answer("before") for _ in range(6)} == {"azure second says: Hello"}


def test_two_routes_swap_their_names_in_one_change(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("x", "first", key="ai/1"), sim.route("y", "second", key="ai/2"))
    assert [proxy.answer("x"), proxy.answer("y")] == ["azure first says: Hello", "azure second says: Hello"]
    proxy.serve(sim.route("y", "first", key="ai/1"), sim.route("x", "second", key="ai/2"))
    assert {proxy.answer("x") for _ in range(5)} == {"azure second says: Hello"}
    assert {proxy.answer("y") for _ in range(5)} == {"azure first says: Hello"}


def test_recent_line_stands_for_the_line_in_its_shard(proxy: Proxy, sim: Simulator) -> None:
    base = [sim.route(f"base-{n}", "old") for n in range(8)]
    proxy.serve(*base, shards=4, recent={})
    assert proxy.answer("base-3") == "azure old says: Hello"
    changes = {"ai/base-3": sim.route("base-3", "new"), "ai/base-5": None, "ai/fresh": sim.route("fresh", "new")}
    assert proxy.serve(*base, shards=4, recent=changes)["routes"] == 8
    assert proxy.answer("base-3") == proxy.answer("fresh") == "azure new says: Hello"
    assert proxy.chat("base-5").status_code == 404
    assert proxy.answer("base-4") == "azure old says: Hello"
    proxy.serve(*base, shards=4, recent={})
    assert proxy.answer("base-3") == proxy.answer("base-5") == "azure old says: Hello"
    assert proxy.chat("fresh").status_code == 404


def test_recent_lines_move_into_their_shards_without_a_change(proxy: Proxy, sim: Simulator) -> None:
    base, new = [sim.route(f"base-{n}") for n in range(8)], sim.route("base-3", "new")
    proxy.serve(*base, shards=4, recent={"ai/base-3": new, "ai/base-5": None})
    proxy.answer("base-3")
    moved = [new if route["modelName"] == "base-3" else route for route in base if route["modelName"] != "base-5"]
    status = proxy.serve(*moved, shards=4, recent={})
    assert f"configuration {status['digest']}: 0 added, 0 changed, 0 removed" in proxy.log()
    assert proxy.answer("base-3") == "azure new says: Hello"
    assert proxy.chat("base-5").status_code == 404


def test_routes_move_between_shards_without_a_gap(proxy: Proxy, sim: Simulator) -> None:
    routes = [sim.route(f"sharded-{n}") for n in range(12)]
    for shards in (1, 4, 3, 1):
        assert proxy.serve(*routes, shards=shards)["routes"] == 12
        assert proxy.answer("sharded-7") == "azure sharded-7 says: Hello"


def test_weights_and_priorities_of_several_backends_hold(proxy: Proxy, sim: Simulator) -> None:
    several = sim.route("several", "many")
    few = json.loads(json.dumps(several["deployments"][0]).replace("/default", "/few").replace("azure/many", "azure/few"))
    few["litellm_params"]["order"] = 1
    several["deployments"][0]["litellm_params"]["order"] = 0
    several["deployments"].append(few)
    proxy.serve(several)
    assert {proxy.answer("several") for _ in range(8)} == {"azure many says: Hello"}
    sim.rule("down", provider="azure", model="many", status=503)
    assert proxy.answer("several") == "azure few says: Hello"


def test_broken_routes_are_refused_with_a_sentence_and_disturb_no_other(proxy: Proxy, sim: Simulator) -> None:
    status = proxy.serve(
        sim.route("good"),
        sim.route("unknown-provider", params={"model": "nonsense/model"}),
        sim.route("bad-type", params={"rpm": "many"}),
        sim.route("no-credential", credentials={"api_key": "ai.missing.api_key"}),
        sim.route("ollama-without-address", params={"model": "ollama_chat/phi4", "api_base": ""}),
        sim.route("environment", params={"organization": "os.environ/LITELLM_MASTER_KEY"}),
        sim.route("file", params={"openai_identity_token_file": "/var/run/secrets/token"}),
        sim.route("from-config"),
    )
    refused = status["refused"]
    assert "nonsense/model" in refused["ai/unknown-provider"]
    assert "rpm" in refused["ai/bad-type"]
    assert "ai.missing.api_key" in refused["ai/no-credential"]
    assert "api_base" in refused["ai/ollama-without-address"]
    assert "organization" in refused["ai/environment"]
    assert "openai_identity_token_file" in refused["ai/file"]
    for name in ("unknown-provider", "bad-type", "no-credential", "ollama-without-address", "environment", "file"):
        response = proxy.chat(name)
        assert response.status_code == 404
        assert refused[f"ai/{name}"] in response.json()["error"]["message"]
        assert name not in proxy.names()
    assert "model_list" in refused["ai/from-config"]
    assert proxy.answer("good") == "azure good says: Hello"
    assert [request["model"] for request in sim.requests()] == ["good"]


def test_route_gets_served_once_its_credential_comes_and_keeps_its_last_line_until_then(proxy: Proxy, sim: Simulator) -> None:
    waiting = sim.route("waiting", "second", credentials={"api_key": "ai.late.api_key"})
    proxy.serve(sim.route("waiting", "first"))
    status = proxy.serve(waiting)
    assert "ai.late.api_key" in status["refused"]["ai/waiting"]
    assert proxy.answer("waiting") == "azure first says: Hello"
    assert proxy.serve(waiting, credentials=CREDENTIALS | {"ai.late.api_key": AZURE_KEY})["refused"] == {}
    assert proxy.answer("waiting") == "azure second says: Hello"


def test_torn_files_are_read_again_and_never_served(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("whole", "first"))
    after = Configuration.of([sim.route("whole", "second")], CREDENTIALS)
    proxy.directory.replace("routes/index.json", after.index)  # it names a shard that is not there yet
    served = {proxy.answer("whole") for _ in range(5)}
    assert served == {"azure first says: Hello"}
    proxy.directory.replace("routes/routes-00.json", after.texts["routes-00.json"][:200])
    assert proxy.answer("whole") == "azure first says: Hello"
    proxy.directory.replace("routes/index.json", after.index[:100])
    assert proxy.answer("whole") == "azure first says: Hello"
    proxy.directory.write(after, CREDENTIALS)
    proxy.confirmed(after.digest)
    assert proxy.answer("whole") == "azure second says: Hello"


def test_changes_under_load_fail_no_request(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("busy", "d-0"), sim.route("calm"))
    failures: list[str] = []
    done = threading.Event()

    def ask(model: str) -> None:
        with httpx.Client(base_url=proxy.url, headers=proxy.client.headers, timeout=30) as client:
            while not done.is_set():
                response = client.post("/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": "Hello"}]})
                if response.status_code != 200:
                    failures.append(response.text)

    clients = [threading.Thread(target=ask, args=(model,)) for model in ("busy", "busy", "busy", "calm")]
    for client in clients:
        client.start()
    for n in range(1, 25):
        proxy.serve(sim.route("busy", f"d-{n}"), sim.route("calm"), *[sim.route(f"extra-{i}") for i in range(n)])
    done.set()
    for client in clients:
        client.join()
    assert failures == []
    assert proxy.answer("busy") == "azure d-24 says: Hello"


def test_models_of_the_proxy_s_own_configuration_are_left_alone(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("ours"))
    assert proxy.answer("from-config") == "mistral mistral-small-latest says: Hello"
    assert {"from-config", "ours"} <= set(proxy.names())


def test_model_of_the_proxy_s_own_configuration_may_fall_back_to_a_route(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("ours"))
    sim.rule("down", provider="mistral", status=503)
    assert proxy.answer("from-config", fallbacks=["ours"]) == "azure ours says: Hello"


def test_body_that_is_passed_through_is_left_alone(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("gpt-4.1", aliases=["gpt-4o"], fallbacks={"onError": ["other"]}, retries={"rateLimit": 1}), sim.route("other"))
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    response = proxy.client.post("/passed-through", json=body)
    assert response.json()["choices"][0]["message"]["content"] == "openai gpt-4o says: Hello"
    assert sim.requests()[-1]["body"] == body


def test_line_that_cannot_be_read_is_refused_alone(proxy: Proxy, sim: Simulator) -> None:
    status = proxy.serve(sim.route("fine"), {"modelName": "from-the-future", "upstreams": [{}]}, sim.route("no,comma"))
    assert "cannot read" in status["refused"]["ai/from-the-future"]
    assert "no,comma" in status["refused"]["ai/no,comma"]
    assert proxy.answer("fine") == "azure fine says: Hello"
    assert proxy.chat("from-the-future").status_code == 404


def test_many_routes_are_served_at_the_price_of_those_in_use(proxy: Proxy, sim: Simulator) -> None:
    status = proxy.serve(*[sim.route(f"many-{n}") for n in range(2000)], shards=8)
    assert (status["routes"], status["refused"]) == (2000, {})
    proxy.answer("many-1")
    proxy.answer("many-1999")
    assert proxy.status()["active"] <= 4


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/completions"])
def test_every_kind_of_call_knows_deleted_models(proxy: Proxy, sim: Simulator, path: str) -> None:
    proxy.serve(sim.route("here"))
    bodies: dict[str, dict[str, Any]] = {
        "/v1/embeddings": {"input": "x"},
        "/v1/responses": {"input": "x"},
        "/v1/messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5},
        "/v1/completions": {"prompt": "x"},
    }
    response = proxy.client.post(path, json={"model": "never-there"} | bodies[path])
    assert response.status_code == 404, response.text
    assert "never-there" in response.text


def test_status_says_when_the_configuration_cannot_be_read_and_when_it_can_again(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("steady"))
    proxy.directory.replace("routes/index.json", "no JSON")
    assert "index.json" in eventually(lambda: proxy.status()["message"]) or proxy.status()["message"]
    assert proxy.answer("steady") == "azure steady says: Hello"
    assert proxy.ready().status_code == 200
    began = time.monotonic()
    assert proxy.serve(sim.route("steady"))["refused"] == {}
    eventually(lambda: proxy.status()["message"] == "")
    assert time.monotonic() - began < 5
