"""Fallbacks and retries of a route, per request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from contract.plugin.provider import Simulator
    from contract.plugin.world import Proxy


def attempts(sim: Simulator) -> list[str]:
    return [request["model"] for request in sim.requests()]


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("onError", {"status": 500}),
        ("onError", {"fail": "disconnect"}),
        ("onContextWindowExceeded", {"fail": "context-window"}),
        ("onContentPolicyViolation", {"fail": "content-policy"}),
    ],
    ids=["error", "disconnect", "context-window", "content-policy"],
)
def test_fallback_answers_for_its_kind_of_failure(proxy: Proxy, sim: Simulator, kind: str, failure: dict[str, object]) -> None:
    proxy.serve(sim.route("first", fallbacks={kind: ["second-alias"]}), sim.route("second", aliases=["second-alias"]), sim.route("third"))
    sim.rule("failing", provider="azure", model="first", **failure)
    assert proxy.answer("first") == "azure second says: Hello"


def test_fallbacks_of_fallbacks_are_followed(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(
        sim.route("first", fallbacks={"onError": ["second"]}),
        sim.route("second", fallbacks={"onError": ["third"]}),
        sim.route("third", fallbacks={"onError": ["first"]}),
    )
    sim.rule("1", provider="azure", model="first", status=500)
    sim.rule("2", provider="azure", model="second", status=500)
    assert proxy.answer("first") == "azure third says: Hello"
    assert attempts(sim) == ["first", "second", "third"]
    sim.rule("3", provider="azure", model="third", status=500)
    assert proxy.chat("first").status_code >= 500


def test_fallback_follows_an_alias_that_moved_and_a_target_that_changed(proxy: Proxy, sim: Simulator) -> None:
    first = sim.route("first", fallbacks={"onError": ["spare"]})
    sim.rule("failing", provider="azure", model="first", status=500)
    proxy.serve(first, sim.route("second", aliases=["spare"]), sim.route("third"))
    assert proxy.answer("first") == "azure second says: Hello"
    proxy.serve(first, sim.route("second"), sim.route("third", aliases=["spare"]))
    assert proxy.answer("first") == "azure third says: Hello"
    proxy.serve(first, sim.route("second"), sim.route("third", "other", aliases=["spare"]))
    assert proxy.answer("first") == "azure other says: Hello"


def test_broken_fallback_is_passed_over(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(
        sim.route("first", fallbacks={"onError": ["gone", "broken", "from-config"]}),
        sim.route("broken", params={"model": "nonsense/x"}),
    )
    sim.rule("failing", provider="azure", model="first", status=500)
    assert proxy.answer("first") == "mistral mistral-small-latest says: Hello"


def test_callers_own_fallbacks_replace_the_route_s_and_lead_to_known_models_only(proxy: Proxy, sim: Simulator) -> None:
    proxy.serve(sim.route("first", fallbacks={"onError": ["second"]}), sim.route("second"), sim.route("third", aliases=["3"]))
    sim.rule("failing", provider="azure", model="first", status=500)
    assert proxy.answer("first", fallbacks=["unknown", "3"]) == "azure third says: Hello"
    proxy.serve(sim.route("first", "first-b", fallbacks={"onError": ["second"]}), sim.route("second"), sim.route("third", aliases=["3"]))
    sim.rule("failing", provider="azure", model="first-b", status=500)
    assert proxy.answer("first", fallbacks=[{"first": ["3"]}]) == "azure third says: Hello"


@pytest.mark.parametrize(
    ("retries", "failure", "count"),
    [
        ({"internalServerError": 2}, {"status": 500}, 2),
        ({"rateLimit": 2}, {"fail": "rate-limit", "retryAfter": 0}, 2),
        ({"timeout": 1}, {"delay": 3.0}, 1),
    ],
    ids=["internal-server-error", "rate-limit", "timeout"],
)
def test_route_s_retries_are_made(proxy: Proxy, sim: Simulator, retries: dict[str, int], failure: dict[str, object], count: int) -> None:
    proxy.serve(sim.route("patient", retries=retries, params={"timeout": 0.8}), sim.route("impatient", params={"timeout": 0.8}))
    for model in ("patient", "impatient"):
        sim.rule(model, provider="azure", model=model, count=count, **failure)
    assert proxy.answer("patient") == "azure patient says: Hello"
    assert attempts(sim).count("patient") == count + 1
    assert proxy.chat("impatient").status_code >= 400
    assert attempts(sim).count("impatient") == 1


def test_embeddings_are_retried_and_nothing_of_ours_is_sent_upstream(proxy: Proxy, sim: Simulator) -> None:
    embedding = sim.route("embedding", "embedding", mode="embedding", retries={"internalServerError": 1}, params={"model": "azure/text-embedding-3-small"})
    proxy.serve(embedding)
    sim.rule("once", provider="azure", model="text-embedding-3-small", status=500, count=1)
    response = proxy.client.post("/v1/embeddings", json={"model": "embedding", "input": "x"})
    assert response.status_code == 200, response.text
    assert [request["body"].keys() - {"input", "model", "encoding_format"} for request in sim.requests()] == [set(), set()]
