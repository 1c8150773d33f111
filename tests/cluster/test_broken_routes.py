"""A broken route next to good ones: its status says what is wrong and where, the others never notice, and mending it is enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cluster.harness import Proxies, Proxy, Routes, backend, keyed, until
from kubectl import NAMESPACE, kubectl
from openai import NotFoundError

pytestmark = pytest.mark.usefixtures("neighbours")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is wrong, and what mends it."""

    spec: dict[str, Any]
    condition: str
    reason: str
    says: tuple[str, ...]
    """What the message names; {namespace}, {name}, {secret} are filled in."""
    good: dict[str, Any] | None = None
    """The spec that is right; None: a Secret `{secret}` with api_key is what is missing."""
    served: bool = False
    """Is it served all the same?"""


def of(*backends: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"backends": list(backends), **spec}


GOOD = of(backend("mended"))
CASES = {
    "missing Secret": Case(
        spec=of(keyed("gpt-4o", "{secret}")),
        condition="ResolvedRefs",
        reason="SecretNotFound",
        says=("backend default", "Secret {namespace}/{secret} does not exist", "kubectl -n {namespace} create secret generic {secret}"),
    ),
    "missing key": Case(
        spec=of(keyed("gpt-4o", "azure", "no_such_key")),
        condition="ResolvedRefs",
        reason="SecretKeyNotFound",
        says=("backend default", "key no_such_key of Secret {namespace}/azure does not exist", "it has AZURE_API_BASE, AZURE_API_KEY, AZURE_API_VERSION"),
        good=of(keyed("gpt-4o", "openai", "OPENAI_API_KEY")),
    ),
    "another provider's Secret": Case(
        spec=of(backend("gpt-4o", "openai", credentialsSecretRef={"name": "mistral"})),
        condition="ResolvedRefs",
        reason="SecretKeyNotFound",
        says=("backend default", "Secret {namespace}/mistral has no api_key (or OPENAI_API_KEY) for provider openai"),
        good=of(backend("gpt-4o", "openai")),
    ),
    "unknown provider": Case(
        spec=of(backend("mistral-large-latest", "mistrall", credentialsSecretRef={"name": "mistral"})),
        condition="Accepted",
        reason="UnknownProvider",
        says=("backend default", "no provider mistrall", "did you mean mistral?"),
        good=of(backend("mistral-large-latest", "mistral")),
    ),
    "name of another": Case(
        spec=of(backend("x"), modelName="openai-gpt41"),
        condition="Accepted",
        reason="ModelNameConflict",
        says=("modelName openai-gpt41", "ModelRoute {namespace}/openai-gpt41"),
        good=GOOD,
    ),
    "alias of another": Case(
        spec=of(backend("x"), aliases=["chat-default"]),
        condition="Accepted",
        reason="ModelNameConflict",
        says=("alias chat-default", "ModelRoute {namespace}/openai-gpt41"),
        good=GOOD,
    ),
    "mixed embeddings": Case(
        spec=of(backend("text-embedding-3-small", "openai"), backend("mistral-embed", "mistral", name="second"), mode="embedding"),
        condition="Accepted",
        reason="MixedEmbeddingModels",
        says=("default: text-embedding-3-small", "second: mistral-embed", "baseModel"),
        good=GOOD,
    ),
    "falls back to itself": Case(
        spec=of(backend("x"), aliases=["{name}-alias"], fallbacks={"onError": ["{name}-alias"]}),
        condition="Accepted",
        reason="InvalidSpec",
        says=("fallback {name}-alias is the route itself",),
        good=GOOD,
    ),
    "refused by LiteLLM": Case(
        spec=of(backend("x", params={"input_cost_per_token": "free"})),
        condition="Programmed",
        reason="RejectedByProxy",
        says=("proxy litellm-proxy-", "input_cost_per_token", "valid number"),
        good=GOOD,
    ),
    "refused by the plugin": Case(
        spec=of(backend("x", params={"organization": "os.environ/LITELLM_MASTER_KEY"})),
        condition="Programmed",
        reason="RejectedByProxy",
        says=("proxy litellm-proxy-", "organization refers to the proxy's own environment"),
        good=GOOD,
    ),
    "missing fallback": Case(
        spec=of(backend("x"), fallbacks={"onError": ["no-such-model"]}),
        condition="ResolvedRefs",
        reason="FallbackNotFound",
        says=("fallback no-such-model", "served without it"),
        good=of(backend("mended"), fallbacks={"onError": ["chat-default"]}),
        served=True,
    ),
    "fallback that embeds differently": Case(
        spec=of(backend("text-embedding-3-small", "openai"), mode="embedding", fallbacks={"onError": ["mistral-embedding"]}),
        condition="Accepted",
        reason="MixedEmbeddingModels",
        says=("fallback mistral-embedding embeds with mistral-embed", "served without it"),
        good=GOOD,
        served=True,
    ),
}


def filled(value: Any, **names: str) -> Any:
    """The value with the test's own names."""
    if isinstance(value, str):
        return value.format(**names) if "{" in value else value
    if isinstance(value, dict):
        return {key: filled(inner, **names) for key, inner in value.items()}
    return [filled(inner, **names) for inner in value] if isinstance(value, list | tuple) else value


def guide_answers(pods: list[Proxy]) -> None:
    """One model of each provider, and the names that some cases want."""
    for pod in pods:
        for name, provider in (("openai-gpt41", "openai gpt-4.1"), ("chat-default", "openai gpt-4.1"), ("azure-gpt41", "azure gpt-41-deployment")):
            assert pod.chat(name) == f"{provider} says: Hello"
        assert pod.chat("mistral-large-3").startswith("mistral ")
        assert pod.chat("ollama-llama32").startswith("ollama ")


@pytest.mark.parametrize("what", CASES)
def test_it_says_what_and_where(routes: Routes, proxies: Proxies, what: str) -> None:
    case = CASES[what]
    names = {"namespace": NAMESPACE, "name": routes.name("broken"), "secret": routes.name("own")}

    def apply(spec: dict[str, Any]) -> None:
        spec = filled(spec, **names)
        routes.apply("broken", *spec.pop("backends"), **spec)

    name = names["name"]
    with proxies.untouched() as pods:
        apply(case.spec)
        message = routes.until(name, case.reason)
        assert [said for said in filled(case.says, **names) if said not in message] == [], message
        condition = routes.condition(name, case.condition)
        assert (condition["status"], condition["reason"], condition["message"]) == ("False", case.reason, message)
        row = kubectl("get", "modelroute", name, "--no-headers").split()
        assert row[-3:-1] == ["False", case.reason]
        guide_answers(pods)
        for pod in pods if not case.served else ():
            with pytest.raises(NotFoundError):
                pod.chat(name)
        if case.good:
            apply(case.good)
        else:
            routes.secret("own", api_key="sim-openai-key")
        routes.wait(name)
        assert all(pod.chat(name).endswith("says: Hello") for pod in pods)


def test_the_name_goes_to_the_next_when_its_owner_leaves(routes: Routes, proxies: Proxies) -> None:
    with proxies.untouched() as pods:
        owner = routes.ready("owner", backend("owner"))
        waiting = routes.apply("waiting", backend("waiting"), modelName=owner)
        assert f"{NAMESPACE}/{owner}" in routes.until(waiting, "ModelNameConflict")
        assert [pod.chat(owner) for pod in pods] == ["azure owner says: Hello"] * len(pods)
        routes.delete("modelroute", owner)
        routes.wait(waiting)
        assert [pod.chat(owner) for pod in pods] == ["azure waiting says: Hello"] * len(pods)


def test_a_fallback_that_appears_or_goes_costs_the_fallback_only(routes: Routes, proxies: Proxies) -> None:
    with proxies.untouched() as pods:
        name = routes.apply("first", backend("first"), fallbacks={"onError": [routes.name("second")]})
        routes.until(name, "FallbackNotFound")
        assert [pod.chat(name) for pod in pods] == ["azure first says: Hello"] * len(pods)
        routes.ready("second", backend("second"))
        routes.wait(name)
        routes.delete("modelroute", routes.name("second"))
        routes.until(name, "FallbackNotFound")
        assert [pod.chat(name) for pod in pods] == ["azure first says: Hello"] * len(pods)


def test_a_served_route_outlives_its_secret(routes: Routes, proxies: Proxies) -> None:
    """It goes on with the credentials it had, and says so; when the Secret is back, what is in it counts."""
    with proxies.untouched() as pods:
        secret = routes.secret("own", api_key="sim-openai-key")
        name = routes.ready("bereft", keyed("gpt-4o", secret))
        routes.delete("secret", secret)
        message = routes.until(name, "SecretNotFound")
        assert f"Secret {NAMESPACE}/{secret} does not exist" in message
        assert "served meanwhile with the credentials it had" in message
        assert routes.condition(name, "Programmed")["status"] == "True"
        assert [pod.chat(name) for pod in pods] == ["openai gpt-4o says: Hello"] * len(pods)
        routes.secret("own", api_key="a wrong key")
        routes.wait(name)

        def refused() -> bool:
            answers = [pod.http("/v1/chat/completions", method="POST", json={"model": name, "messages": [{"role": "user", "content": "Hello"}]}) for pod in pods]
            return {answer.status_code for answer in answers} == {401}

        until("the new, wrong key is used", refused)
        routes.secret("own", api_key="sim-openai-key")
        until("the right key is used", lambda: all(pod.chat(name) == "openai gpt-4o says: Hello" for pod in pods))


def test_a_route_whose_secret_never_was_is_not_served(routes: Routes, proxies: Proxies) -> None:
    """Nor is one that was changed since: what it had was for another backend."""
    with proxies.untouched() as pods:
        secret = routes.secret("own", api_key="sim-openai-key")
        name = routes.ready("changed", keyed("gpt-4o", secret))
        routes.delete("secret", secret)
        routes.until(name, "SecretNotFound")
        routes.apply("changed", keyed("gpt-4o-mini", secret))
        routes.until(name, "SecretNotFound")

        def gone(pod: Proxy) -> Callable[[], bool]:
            return lambda: name not in pod.names()

        for pod in pods:
            until(f"{pod.name} forgets {name}", gone(pod))
