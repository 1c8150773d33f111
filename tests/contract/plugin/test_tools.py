"""The function-calling rule: what a model is not up to is dropped, and the caller is told in a header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from contract.plugin.world import TOOLS

if TYPE_CHECKING:
    import httpx
    from contract.plugin.provider import Simulator
    from contract.plugin.world import Proxy

RESPONSES_TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]
MESSAGES_TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]
FUNCTIONS = {"functions": [{"name": "weather", "parameters": {"type": "object", "properties": {}}}], "function_call": "auto"}
CALLS = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Weather?"}], "tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": True}),
    "functions": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Weather?"}], **FUNCTIONS}),
    "responses": ("/v1/responses", {"input": "Weather?", "tools": RESPONSES_TOOLS}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "Weather?"}], "max_tokens": 50, "tools": MESSAGES_TOOLS}),
}
SENT = {"tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"}

streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
called = pytest.mark.parametrize("call", CALLS)


def ask(proxy: Proxy, call: str, model: str, **more: Any) -> httpx.Response:
    path, body = CALLS[call]
    response = proxy.client.post(path, json={"model": model} | body | more)
    assert response.status_code == 200, response.text
    return response


@called
@streamed
@pytest.mark.parametrize(("tools", "says"), [("Limited", "limited function calling"), ("Unsupported", "no function calling")])
def test_tools_are_dropped_and_the_header_names_what_and_what_else_to_use(proxy: Proxy, sim: Simulator, call: str, stream: bool, tools: str, says: str) -> None:
    proxy.serve(sim.mistral_route("small", tools=tools), *[sim.route(f"able-{n}") for n in range(7)], sim.route("unsure", tools="Unknown"))
    warning = ask(proxy, call, "small", stream=stream).headers["x-modelroute-warning"]
    (sent,) = sim.requests()
    assert not SENT & sent["body"].keys()
    assert "'small'" in warning
    assert says in warning
    for dropped in SENT & CALLS[call][1].keys():
        assert dropped in warning
    assert warning.endswith("Consider using: able-0, able-1, able-2, able-3, able-4")
    assert warning.isascii()


@called
@streamed
def test_capable_model_gets_the_tools_and_no_warning(proxy: Proxy, sim: Simulator, call: str, stream: bool) -> None:
    able = sim.route("able") if call in ("chat", "functions") else sim.mistral_route("able")
    proxy.serve(able, sim.route("small", tools="Limited"))
    response = ask(proxy, call, "able", stream=stream)
    assert "x-modelroute-warning" not in response.headers
    assert {"tools", "functions"} & sim.requests()[-1]["body"].keys()


@streamed
def test_model_of_unknown_ability_gets_the_tools_and_a_warning(proxy: Proxy, sim: Simulator, stream: bool) -> None:
    proxy.serve(sim.route("unsure", tools="Unknown"), sim.route("able"))
    response = ask(proxy, "chat", "unsure", stream=stream)
    warning = response.headers["x-modelroute-warning"]
    assert "'unsure'" in warning
    assert "unknown" in warning
    assert "able" in warning
    assert "tools" in sim.requests()[-1]["body"]


def test_request_without_tools_gets_no_warning(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("small", tools="Limited"))
    for empty in ({}, {"tools": []}):
        assert "x-modelroute-warning" not in proxy.chat("small", **empty).headers


@streamed
def test_fallback_to_a_limited_model_drops_tools_for_that_attempt_only(proxy: Proxy, sim: Simulator, stream: bool) -> None:
    proxy.serve(sim.route("able", fallbacks={"onError": ["small"]}), sim.route("small", tools="Limited"))
    sim.rule("down", provider="azure", model="able", status=503)
    response = ask(proxy, "chat", "able", stream=stream)
    assert [("tools" in request["body"], request["model"]) for request in sim.requests()] == [(True, "able"), (False, "small")]
    assert "'small'" in response.headers["x-modelroute-warning"]
    assert response.headers["x-litellm-model-id"] == "ai/small/default"


def test_fallback_from_a_limited_to_a_capable_model_passes_the_tools(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("small", tools="Limited", fallbacks={"onError": ["able"]}), sim.route("able"))
    sim.rule("down", provider="azure", model="small", status=503)
    response = ask(proxy, "chat", "small")
    assert [("tools" in request["body"], request["model"]) for request in sim.requests()] == [(False, "small"), (True, "able")]
    assert "x-modelroute-warning" not in response.headers


def test_ability_that_changes_is_obeyed_by_the_next_request(proxy: Proxy, sim: Simulator) -> None:
    for tools, passed in (("Supported", True), ("Limited", False), ("Supported", True)):
        proxy.serve(sim.route("learning", tools=tools))
        ask(proxy, "chat", "learning")
        assert ("tools" in sim.requests()[-1]["body"]) is passed
