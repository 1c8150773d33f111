"""The guide's rules, kept by every replica: tools only where they work, fallbacks, embeddings that are not mixed."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ask
import pytest
from cluster.harness import Proxies, Proxy, Routes, Simulator, backend, until
from deploy import SIMULATOR
from kubectl import kubectl
from openai import APIStatusError

pytestmark = pytest.mark.usefixtures("neighbours")
TOOLS = ("tools", "tool_choice", "functions", "function_call", "parallel_tool_calls")


def with_tools(pod: Proxy, model: str, simulator: Simulator, *, stream: bool) -> tuple[dict[str, Any], str, bool]:
    """What the provider was sent, the warning, and whether the tool was called."""
    last = max((seen["ordinal"] for seen in simulator.received(limit=1)), default=0)
    more: dict[str, Any] = {"tools": [ask.TOOL], "tool_choice": "auto", "parallel_tool_calls": True, "stream": stream}
    raw = pod.openai.chat.completions.with_raw_response.create(model=model, messages=[{"role": "user", "content": ask.WEATHER}], **more)
    answer: Any = raw.parse()
    called = any(chunk.choices[0].delta.tool_calls for chunk in answer if chunk.choices) if stream else bool(answer.choices[0].message.tool_calls)
    (seen,) = simulator.received(after=last)
    return seen["body"], raw.headers.get(ask.WARNING, ""), called


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("calling", ["Supported", "Limited", "Unsupported", None])
def test_tools_reach_only_models_that_can_use_them(routes: Routes, proxies: Proxies, simulator: Simulator, calling: str | None, stream: bool) -> None:
    capabilities = {"capabilities": {"functionCalling": calling}} if calling else {}
    name = routes.ready("calling", backend("some-deployment"), **capabilities)
    for pod in proxies.ready():
        body, warning, called = with_tools(pod, name, simulator, stream=stream)
        stripped = calling in {"Limited", "Unsupported"}
        assert called is not stripped
        assert [field for field in TOOLS if field in body] == ([] if stripped else ["tools", "tool_choice", "parallel_tool_calls"])
        assert bool(warning) == (calling != "Supported")
        if warning:
            assert f"'{name}'" in warning
            assert any(capable in warning for capable in ("gpt41", "mistral", "llama"))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_guides_limited_model(guide: dict[str, Any], proxies: Proxies, simulator: Simulator, stream: bool) -> None:
    for pod in proxies.ready():
        body, warning, called = with_tools(pod, "ollama-phi4", simulator, stream=stream)
        assert not called
        assert "tools" not in body
        assert "Model 'ollama-phi4' has limited function calling support; dropped tools" in warning


def streamed(pod: Proxy, model: str) -> str:
    """What the model says, as it comes."""
    chunks = pod.openai.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        pytest.param("onError", {"status": 503}, id="503"),
        pytest.param("onError", {"fail": "disconnect"}, id="connection lost"),
        pytest.param("onError", {"fail": "rate-limit"}, id="429"),
        pytest.param("onContextWindowExceeded", {"fail": "context-window"}, id="prompt too long"),
        pytest.param("onContentPolicyViolation", {"fail": "content-policy"}, id="content filter"),
    ],
)
def test_a_fallback_answers(routes: Routes, proxies: Proxies, simulator: Simulator, kind: str, failure: dict[str, Any]) -> None:
    deployment = routes.name("failing")
    name = routes.ready("failing", backend(deployment), fallbacks={kind: ["mistral-large-3"]}, retries={"rateLimit": 0, "timeout": 0, "internalServerError": 0})
    with proxies.untouched() as pods:
        assert [pod.chat(name) for pod in pods] == [f"azure {deployment} says: Hello"] * len(pods)
        with simulator.rule(deployment, provider="azure", model=deployment, **failure):
            with ThreadPoolExecutor() as at_once:
                said = [at_once.submit(asked, pod, name) for pod in pods for asked in (Proxy.chat, streamed)]
            assert all(each.result().startswith("mistral ") for each in said), [each.result() for each in said]
        until("the first model answers again", lambda: [pod.chat(name) for pod in pods] == [f"azure {deployment} says: Hello"] * len(pods))


def test_the_lower_priority_is_tried_first_and_the_other_helps_out(routes: Routes, proxies: Proxies, simulator: Simulator) -> None:
    first, second = routes.name("first"), routes.name("second")
    name = routes.ready("two", backend(second, name="second", priority=1), backend(first, name="first", priority=0))
    for pod in proxies.ready():
        assert [pod.chat(name) for _ in range(4)] == [f"azure {first} says: Hello"] * 4
    with simulator.rule(first, model=first, status=503):
        for pod in proxies.ready():
            assert [pod.chat(name) for _ in range(2)] == [f"azure {second} says: Hello"] * 2


def test_an_embedding_alias_may_not_move_silently(routes: Routes, proxies: Proxies) -> None:
    """Vectors stored under it would be compared with another model's. Whoever embedded everything anew says so in an annotation."""
    alias = routes.name("vectors")
    small, large = backend("text-embedding-3-small", "openai"), backend("text-embedding-3-large", "openai")

    def dimensions(name: str) -> set[int]:
        return {len(pod.openai.embeddings.create(model=name, input="Hello").data[0].embedding) for pod in pods}

    with proxies.untouched() as pods:
        one = routes.ready("one", small, mode="embedding", aliases=[alias])
        assert dimensions(alias) == {1536}
        routes.ready("one", small, mode="embedding", aliases=[])
        other = routes.apply("other", large, mode="embedding", aliases=[alias])
        message = routes.until(other, "MixedEmbeddingModels")
        for said in (f"alias {alias}", "text-embedding-3-small", "text-embedding-3-large", f"modelroute.dev/re-embedded={alias}"):
            assert said in message
        assert dimensions(one) == {1536}
        kubectl("annotate", "modelroute", other, f"modelroute.dev/re-embedded={alias}")
        routes.wait(other)
        assert dimensions(alias) == {3072}


@pytest.mark.parametrize("field", ["api_base", "base_url", "api_key", "litellm_credential_name", "organization", "model_list", "user_config"])
def test_a_caller_cannot_choose_where_a_key_goes(routes: Routes, proxies: Proxies, simulator: Simulator, field: str) -> None:
    """Taken out of the request, or the request is refused: the provider sees the route's own key, and another address sees nothing."""
    name = routes.ready("own", backend(routes.name("own")))
    elsewhere = f"http://{SIMULATOR}.{SIMULATOR}:8080/openai/v1"
    last = max((seen["ordinal"] for seen in simulator.received(limit=1)), default=0)
    for pod in proxies.ready():
        with contextlib.suppress(APIStatusError):
            assert pod.chat(name, extra_body={field: elsewhere}) == f"azure {name} says: Hello"
    assert {(seen["provider"], seen["keyName"]) for seen in simulator.received(after=last)} <= {("azure", "default")}
