"""How long a route is in LiteLLM's router, and what that means to requests in flight."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
from contract.plugin.provider import CREDENTIALS
from contract.plugin.world import IDLE_SECONDS, eventually

if TYPE_CHECKING:
    from contract.plugin.provider import Simulator
    from contract.plugin.world import Proxy


QUESTION = "one two three four five"


def streamed(proxy: Proxy, model: str, started: threading.Event, chunks: list[str]) -> None:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    with proxy.client.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            chunks.append(line)
            started.set()


def in_flight(proxy: Proxy, sim: Simulator, model: str) -> tuple[threading.Thread, list[str]]:
    """A stream of `model` that has begun and takes about a second more."""
    sim.rule("slow", provider="azure", chunkDelay=0.15)
    started: threading.Event = threading.Event()
    chunks: list[str] = []
    thread = threading.Thread(target=streamed, args=(proxy, model, started, chunks))
    thread.start()
    assert started.wait(10)
    return thread, chunks


def test_stream_in_flight_survives_deletion_of_its_route(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("leaving"))
    thread, chunks = in_flight(proxy, sim, "leaving")
    proxy.serve()
    assert proxy.chat("leaving").status_code == 404
    assert thread.is_alive()
    thread.join()
    assert chunks[-2] == "data: [DONE]"


def test_stream_in_flight_survives_change_of_its_route_and_of_its_key(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("changing", "one"))
    thread, chunks = in_flight(proxy, sim, "changing")
    sim.keys("azure", new="1" * 32)
    proxy.serve(sim.route("changing", "two"), credentials=CREDENTIALS | {"ai.azure.api_key": "1" * 32})
    assert thread.is_alive()
    assert proxy.answer("changing") == "azure two says: Hello"
    thread.join()
    assert chunks[-2] == "data: [DONE]"


def test_name_taken_over_while_a_stream_of_its_last_owner_is_in_flight_leads_to_the_new_owner_only(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("taken", "first", key="ai/old"))
    thread, chunks = in_flight(proxy, sim, "taken")
    proxy.serve(sim.route("taken", "second", key="ai/new"))
    assert {proxy.answer("taken") for _ in range(6)} == {"azure second says: Hello"}
    thread.join()
    assert chunks[-2] == "data: [DONE]"


def test_request_in_flight_is_still_retried_after_deletion_of_its_route(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("retrying", retries={"internalServerError": 2}))
    sim.rule("slow-failure", provider="azure", model="retrying", status=500, delay=0.5, count=1)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(proxy.answer, "retrying")
        eventually(lambda: sim.client.get("/_sim/rules").json()["rules"][0]["left"] == 0)
        proxy.serve()
        assert answer.result() == "azure retrying says: Hello"
    eventually(lambda: proxy.status()["active"] == 0)


def test_request_in_flight_is_retried_and_falls_back_though_all_of_it_changed_meanwhile(proxy: Proxy, sim: Simulator) -> None:
    """To what the routes were when it came (LiteLLM 1.110), or to what they have become (1.108)."""
    sim.rule("slow-failure", provider="azure", model="failing", status=500, delay=0.5, count=2)
    retried = sim.route("retried", "failing", retries={"internalServerError": 2})
    falling = sim.route("falling", "failing", fallbacks={"onError": ["spare"]})
    proxy.serve(retried, falling, sim.route("spare", "one"))
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(proxy.answer, model) for model in ("retried", "falling")]
        eventually(lambda: sim.client.get("/_sim/rules").json()["rules"][0]["left"] == 0)
        proxy.serve(sim.route("retried", "two"), sim.route("falling", "two"), sim.route("spare", "two"))
        assert answers[0].result() in ("azure failing says: Hello", "azure two says: Hello")
        assert answers[1].result() in ("azure one says: Hello", "azure two says: Hello")
    assert {proxy.answer(model) for model in ("retried", "falling", "spare")} == {"azure two says: Hello"}


def test_fallback_that_left_idle_while_a_change_renewed_its_route_is_there_when_needed(proxy: Proxy, sim: Simulator) -> None:
    falling = sim.route("falling", "first", fallbacks={"onError": ["spare"]})
    proxy.serve(falling, sim.route("spare"))
    proxy.answer("falling")
    time.sleep(IDLE_SECONDS * 0.6)
    proxy.serve(falling | sim.route("falling", "second"), sim.route("spare"))
    eventually(lambda: proxy.status()["active"] == 1)
    sim.rule("down", provider="azure", model="second", status=500)
    assert proxy.answer("falling") == "azure spare says: Hello"


def test_idle_route_leaves_the_router_and_comes_back_when_asked_for(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(*[sim.route(f"idle-{n}") for n in range(5)])
    for n in range(5):
        proxy.answer(f"idle-{n}")
    assert proxy.status()["active"] == 5
    assert {f"idle-{n}" for n in range(5)} <= in_router(proxy)
    eventually(lambda: proxy.status()["active"] == 0, IDLE_SECONDS * 3)
    eventually(lambda: in_router(proxy) == {"from-config"})
    assert proxy.answer("idle-3") == "azure idle-3 says: Hello"


def test_route_stays_in_the_router_while_a_request_is_in_flight(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("long", retries={"internalServerError": 1}))
    sim.rule("long-failure", provider="azure", model="long", status=500, delay=IDLE_SECONDS * 1.8, count=1)
    assert proxy.answer("long") == "azure long says: Hello"


def test_concurrent_first_requests_activate_a_route_once(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("popular"))
    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(lambda _: httpx_answer(proxy, "popular"), range(32)))
    assert answers == {"azure popular says: Hello"}
    health = proxy.client.get("/health", params={"model": "popular"}).json()
    assert (health["healthy_count"], health["unhealthy_count"]) == (1, 0)


def test_churn_leaves_nothing_behind_in_the_router(proxy: Proxy, sim: Simulator) -> None:
    for n in range(30):
        proxy.serve(sim.route("churned", f"version-{n}"), sim.route(f"passing-{n}"))
        proxy.answer("churned")
        proxy.answer(f"passing-{n}")
    assert proxy.status()["active"] == 2
    eventually(lambda: in_router(proxy) == {"churned", "passing-29", "from-config"})
    health = proxy.client.get("/health").json()
    assert (health["healthy_count"], health["unhealthy_count"]) == (3, 0)


def test_price_of_a_deployment_outlives_changes_of_anything_else(proxy: Proxy, sim: Simulator) -> None:
    priced = sim.route("priced")
    priced["deployments"][0]["model_info"] |= {"input_cost_per_token": 0.5, "output_cost_per_token": 0.5}
    proxy.serve(priced)
    cost = proxy.chat("priced").headers["x-litellm-response-cost"]
    assert float(cost) > 1
    proxy.serve(priced | {"aliases": ["dear"]}, credentials=CREDENTIALS | {"ai.other.api_key": "x" * 20})
    assert proxy.chat("dear").headers["x-litellm-response-cost"] == cost
    proxy.serve(priced, sim.route("other"))
    assert proxy.chat("priced").headers["x-litellm-response-cost"] == cost


def in_router(proxy: Proxy) -> set[str]:
    return {group["model_group"] for group in proxy.client.get("/model_group/info").json()["data"]}


def httpx_answer(proxy: Proxy, model: str) -> str:
    """As Proxy.answer, with a connection of its own."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    response = httpx.post(f"{proxy.url}/v1/chat/completions", json=body, headers=proxy.client.headers, timeout=30)
    assert response.status_code == 200, response.text
    answer: str = response.json()["choices"][0]["message"]["content"]
    return answer
