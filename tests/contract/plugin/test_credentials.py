"""Keys: rotated without a failed request, never shown, and never the caller's to choose."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from contract.plugin.provider import AZURE_KEY, CREDENTIALS, MISTRAL_KEY, OPENAI_KEY, route
from contract.plugin.world import TOOLS, eventually

if TYPE_CHECKING:
    from contract.plugin.provider import Simulator
    from contract.plugin.world import Proxy

NEW_KEY = "ffeeddccbbaa99887766554433221100"
CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"prompt": "x"},
    "/v1/messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5},
    "/v1/responses": {"input": "x"},
    "/v1/embeddings": {"input": "x"},
    "/v1/moderations": {"input": "x"},
    "/v1/images/generations": {"prompt": "x"},
    "/v1/rerank": {"query": "x", "documents": ["y"]},
}


def test_rotated_key_is_used_by_the_next_request(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("rotated"))
    sim.keys("azure", old=AZURE_KEY, new=NEW_KEY)
    for key, name in ((NEW_KEY, "new"), (AZURE_KEY, "old"), (NEW_KEY, "new")):
        proxy.serve(sim.route("rotated"), credentials=CREDENTIALS | {"ai.azure.api_key": key})
        proxy.answer("rotated")
        assert sim.requests()[-1]["keyName"] == name


def test_key_rotated_under_load_fails_no_request(proxy: Proxy, sim: Simulator) -> None:
    routes = [sim.route(f"load-{n}") for n in range(4)]
    proxy.serve(*routes)
    answers: list[list[int]] = [[], [], [], []]
    done = threading.Event()

    def ask(n: int) -> None:
        body = {"model": f"load-{n}", "messages": [{"role": "user", "content": "Hello"}]}
        with httpx.Client(base_url=proxy.url, headers=proxy.client.headers, timeout=30) as client:
            while not done.is_set():
                answers[n].append(client.post("/v1/chat/completions", json=body).status_code)

    def each_client_has_asked_twice_more() -> bool:
        return all(len(after) >= before + 2 for after, before in zip(answers, counts, strict=True))

    clients = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for client in clients:
        client.start()
    key = AZURE_KEY
    for n in range(6):  # as one does it: the new key is allowed, rotated to, and the old one revoked
        new = f"{n:032x}"
        sim.keys("azure", old=key, new=new)
        proxy.serve(*routes, credentials=CREDENTIALS | {"ai.azure.api_key": new})
        counts = [len(answered) for answered in answers]
        eventually(each_client_has_asked_twice_more)
        sim.keys("azure", new=new)
        key = new
    done.set()
    for client in clients:
        client.join()
    assert {status for answered in answers for status in answered} == {200}
    assert {request["keyName"] for request in sim.requests()[-4:]} == {"new"}


def test_corrected_key_ends_the_cooldown_that_the_wrong_one_caused(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("cooled"), credentials=CREDENTIALS | {"ai.azure.api_key": "wrong-key-of-someone"})
    assert proxy.chat("cooled").status_code == 401
    assert proxy.chat("cooled").status_code == 429  # LiteLLM leaves the deployment alone for five seconds
    proxy.serve(sim.route("cooled"))
    assert proxy.answer("cooled") == "azure cooled says: Hello"


def test_request_with_the_old_key_that_fails_last_does_not_cool_the_new_one(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("late"))
    sim.rule("slow-401", provider="azure", model="late", status=401, delay=0.6, count=1)
    slow = threading.Thread(target=proxy.chat, args=("late",))
    slow.start()
    eventually(lambda: sim.client.get("/_sim/rules").json()["rules"][0]["left"] == 0)
    sim.keys("azure", new=NEW_KEY)
    proxy.serve(sim.route("late"), credentials=CREDENTIALS | {"ai.azure.api_key": NEW_KEY})
    slow.join()
    assert proxy.answer("late") == "azure late says: Hello"


def test_new_route_and_its_new_credential_work_together_at_once(proxy: Proxy, sim: Simulator) -> None:
    for n in range(5):
        credential = f"ai.fresh-{n}.api_key"
        fresh = sim.route(f"fresh-{n}", credentials={"api_key": credential})
        assert proxy.serve(fresh, credentials=CREDENTIALS | {credential: AZURE_KEY})["refused"] == {}
        assert proxy.answer(f"fresh-{n}") == f"azure fresh-{n} says: Hello"


def test_any_parameter_may_come_from_a_secret(proxy: Proxy, sim: Simulator) -> None:
    secret = {"ai.all.api_key": AZURE_KEY, "ai.all.api_base": sim.azure, "ai.all.api_version": "2024-10-21"}
    params = {"api_key": "ai.all.api_key", "api_base": "ai.all.api_base", "api_version": "ai.all.api_version"}
    proxy.serve(route("all-secret", {"model": "azure/all-secret"}, credentials=params), credentials=secret)
    assert proxy.answer("all-secret") == "azure all-secret says: Hello"
    assert sim.requests()[-1]["query"] == {"api-version": "2024-10-21"}


def test_value_in_use_stays_until_the_routes_let_go_of_it(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("in-use"))
    proxy.answer("in-use")
    proxy.directory.write_credentials({"ai.other.api_key": "x" * 32})
    status = eventually(lambda: (s := proxy.status()) and s["digest"] != "" and s)
    time.sleep(0.2)  # two looks of the plugin at its files
    assert proxy.answer("in-use") == "azure in-use says: Hello"
    assert proxy.status()["version"] >= status["version"]
    assert "ai.azure.api_key" in proxy.serve(sim.route("in-use", "changed"), credentials={})["refused"]["ai/in-use"]
    assert proxy.answer("in-use") == "azure in-use says: Hello"
    proxy.serve(credentials={})
    assert proxy.serve(sim.route("in-use"), credentials={})["refused"].keys() == {"ai/in-use"}
    assert proxy.chat("in-use").status_code == 404


@pytest.mark.parametrize(
    "choice",
    [
        {"api_key": "sk-callers-own-key"},
        {"api_version": "2020-01-01-preview"},
        {"azure_ad_token": "callers-token"},
        {"litellm_credential_name": "somebody-elses"},
        {"litellm_params": {"api_base": "http://127.0.0.1:9/evil"}},
        {"custom_llm_provider": "openai"},
        {"organization": "callers-organization"},
        {"model_info": {"id": "made-up", "modelroute_tools": "Supported"}},
        {"specific_deployment": True},
        {"extra_body": {"api_key": "sk-callers-own-key"}},
        {"extra_headers": {"api-key": "callers-key", "Authorization": "Bearer callers-key"}},
        {"headers": {"api-key": "callers-key"}},
    ],
    ids=lambda choice: next(iter(choice)),
)
def test_caller_cannot_choose_credential_or_address(proxy: Proxy, sim: Simulator, choice: dict[str, Any]) -> None:
    proxy.serve(sim.route("guarded", tools="Limited"))
    response = proxy.chat("guarded", tools=TOOLS, **choice)
    assert response.status_code in (200, 400, 401, 403, 500), response.text
    sent = sim.requests()
    if response.status_code == 200:
        assert "dropped tools" in response.headers["x-modelroute-warning"]
    assert len(sent) == (response.status_code == 200)
    for request in sent:
        assert request["keyName"] == "current"
        assert request["query"] == {"api-version": "2024-10-21"}
        assert not {"tools", *choice} & request["body"].keys()
        assert "callers" not in str(request)


@pytest.mark.parametrize("address", ["api_base", "base_url"])
def test_caller_cannot_send_a_key_elsewhere(proxy: Proxy, sim: Simulator, address: str) -> None:
    proxy.serve(sim.route("kept-here"))
    for body in ({address: "http://127.0.0.1:9/"}, {"fallbacks": [{"model": "kept-here", address: "http://127.0.0.1:9/"}]}):
        response = proxy.chat("kept-here", **body)
        assert response.status_code >= 400 or response.json()["choices"][0]["message"]["content"] == "azure kept-here says: Hello"


def test_caller_cannot_reach_a_deployment_by_its_id_or_its_upstream_name(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("front", "upstream", tools="Limited"))
    sim.rule("once", provider="azure", status=401, count=1)
    proxy.chat("front")
    (id_,) = re.findall(r"ai/front/default#\w+", proxy.chat("front").text)  # LiteLLM tells it when there is a cooldown
    sim.client.delete("/_sim/requests")
    for name in (id_, "ai/front/default", "azure/upstream", "upstream"):
        for path, body in CALLS.items():
            answer = proxy.client.post(path, json={"model": name, "tools": TOOLS} | body)
            assert answer.status_code >= 400, (name, path, answer.text)
            assert "does not exist" in answer.text or name in ("upstream", "ai/front/default"), (name, path, answer.text)
    assert sim.requests() == []


def test_deployment_is_named_by_its_stable_id(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("stable"))
    sim.keys("azure", old=AZURE_KEY, new=NEW_KEY)
    for key in (AZURE_KEY, NEW_KEY):
        proxy.serve(sim.route("stable"), credentials=CREDENTIALS | {"ai.azure.api_key": key})
        assert proxy.chat("stable").headers["x-litellm-model-id"] == "ai/stable/default"
        (info,) = proxy.client.get("/model/info", params={"litellm_model_id": "ai/stable/default"}).json()["data"]
        assert info["model_name"] == "stable"


def test_keys_appear_in_no_answer_and_no_log(proxy: Proxy, sim: Simulator) -> None:
    openai = route("shy-openai", {"model": "openai/gpt-4.1", "api_base": sim.openai}, credentials={"api_key": "ai.openai.api_key"})
    proxy.serve(sim.route("shy-azure"), openai, sim.mistral_route("shy-mistral"), sim.route("shy-wrong", params={"rpm": "many"}))
    seen: list[str] = []
    names = ("shy-azure", "shy-openai", "shy-mistral")
    for name in (*names, "shy-wrong", "missing"):
        seen += (f"{r.headers} {r.text}" for r in (proxy.chat(name), proxy.chat(name, stream=True)))
    for provider, key in (("azure", AZURE_KEY), ("openai", OPENAI_KEY), ("mistral", MISTRAL_KEY)):  # as careless upstreams do
        sim.rule(provider, provider=provider, status=401, message=f"Incorrect API key provided: {key}. Ask for another.")
    for name in names:
        seen += (f"{r.headers} {r.text}" for r in (proxy.chat(name), proxy.chat(name, stream=True)))
    paths = ("/v1/models", "/model/info", "/v1/model/info", "/v2/model/info", "/model_group/info", "/modelroutes/status", "/modelroutes/ready")
    seen += (proxy.client.get(path).text for path in (*paths, "/health/readiness", "/health"))
    seen.append(str(proxy.status()))
    assert any("Ask for another" in text for text in seen)
    for text in (*seen, *proxy.log().splitlines()):
        for key in (AZURE_KEY, OPENAI_KEY, MISTRAL_KEY):
            assert key[8:24] not in text
