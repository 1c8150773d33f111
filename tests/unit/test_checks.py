"""Every named predicate: true when something is wrong, silent when not, and its sentence says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from modelroute_operator.core import checks, routes
from modelroute_operator.core.conditions import CONDITION_OF, TRUE_REASON, Condition, Reason
from modelroute_operator.core.snapshot import Published, Route
from unit import make

LARGE = {"model": "text-embedding-3-large"}
SMALL = {"model": "text-embedding-3-small"}


def wrong(*given: Route, known: dict[str, str] | None = None, release: dict[str, Any] | None = None) -> list[tuple[str, str, bool]]:
    """What is wrong with the last route: reason, sentence, and whether it is served nevertheless."""
    resolution = routes.resolve(make.snapshot(given, published=Published(vectors=known or {}), release=make.release(**(release or {}))))
    key = given[-1].key
    return [(str(p.reason), p.message, key in resolution.served) for p in resolution.problems.get(key, ())]


OLD, YOUNG = {"created": "2026-07-01T09:00:00Z"}, {"created": "2026-07-01T11:00:00Z"}
WRONG: dict[str, tuple[list[tuple[str, str, bool]], str, str, bool]] = {
    "a suspended route": (wrong(make.route("r", suspend=True)), "Suspended", "set it to false to serve it again", False),
    "a suspended route is nothing but suspended": (wrong(make.route("r", make.backend(provider="x"), suspend=True)), "Suspended", "out of service", False),
    "a namespace outside the patterns": (
        wrong(make.route("r", namespace="b"), release={"allowed_namespaces": ("a", "team-*")}), "NamespaceNotAllowed", "serves namespaces a, team-* only, not b", False,
    ),
    "a provider with a typo": (wrong(make.route("r", make.backend(provider="opnai"))), "UnknownProvider", "no provider opnai; did you mean openai?", False),
    "a provider like no other": (wrong(make.route("r", make.backend(provider="zzz"))), "UnknownProvider", "see LiteLLM's list of providers", False),
    "Ollama without a server": (wrong(make.route("r", make.backend(provider="ollama"))), "InvalidSpec", "no Ollama server is known; set apiBase", False),
    "a fallback to the default modelName": (wrong(make.route("r", fallbacks={"onError": ["r"]})), "InvalidSpec", "fallback r is the route itself", False),
    "a fallback to an alias of the route": (wrong(make.route("r", aliases=["a"], fallbacks={"onContentPolicyViolation": ["a"]})), "InvalidSpec", "fallback a is the route itself", False),
    "two embedding models in one route": (
        wrong(make.route("r", make.backend("a", **LARGE), make.backend("b", **SMALL), mode="embedding")),
        "MixedEmbeddingModels", "(a: text-embedding-3-large, b: text-embedding-3-small)", False,
    ),
    "a modelName that an older route has": (wrong(make.route("o", modelName="x", **OLD), make.route("r", modelName="x")), "ModelNameConflict", "modelName x belongs to ModelRoute ai/o", False),
    "a modelName that is an older route's alias": (wrong(make.route("o", aliases=["r"], **OLD), make.route("r")), "ModelNameConflict", "modelName r belongs to ModelRoute ai/o", False),
    "an alias that is an older route's modelName": (wrong(make.route("o", **OLD), make.route("r", aliases=["o"])), "ModelNameConflict", "alias o belongs to ModelRoute ai/o", False),
    "a name in another namespace": (wrong(make.route("r", namespace="b", **OLD), make.route("r")), "ModelNameConflict", "modelName r belongs to ModelRoute b/r", False),
    "an embedding alias that stood for another model": (
        wrong(make.route("r", make.backend(**LARGE), mode="embedding", aliases=["a"]), known={"a": "old"}),
        "MixedEmbeddingModels", "alias a has stood for old", False,
    ),
    "a fallback that nobody serves": (wrong(make.route("r", fallbacks={"onError": ["gone"]})), "FallbackNotFound", "the route is served without it", True),
    "a fallback that is refused itself": (wrong(make.route("x", suspend=True), make.route("r", fallbacks={"onError": ["x"]})), "FallbackNotFound", "fallback x is no modelName", True),
    "a fallback that waits for its Secret": (
        wrong(make.route("x", make.backend(credentialsSecretRef={"name": "s"})), make.route("r", fallbacks={"onError": ["x"]})), "FallbackNotFound", "fallback x is no modelName", True,
    ),
    "an embedding fallback of another model": (
        wrong(make.route("x", make.backend(**SMALL), mode="embedding"), make.route("r", make.backend(**LARGE), mode="embedding", fallbacks={"onError": ["x"]})),
        "MixedEmbeddingModels", "fallback x embeds with text-embedding-3-small, this route with text-embedding-3-large", True,
    ),
    "an embedding fallback that chats": (
        wrong(make.route("x"), make.route("r", make.backend(**LARGE), mode="embedding", fallbacks={"onError": ["x"]})), "MixedEmbeddingModels", "embeds with no embedding model", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong(what: str) -> None:
    found, reason, says, served = WRONG[what]
    ((told, message, is_served),) = found
    assert (told, is_served) == (reason, served)
    assert says in message


ANNOTATED = {"annotations": {checks.RE_EMBEDDED: "b, a"}}
RIGHT: dict[str, list[tuple[str, str, bool]]] = {
    "a namespace that matches a pattern": wrong(make.route("r", namespace="team-x"), release={"allowed_namespaces": ("a", "team-*")}),
    "Ollama with an address": wrong(make.route("r", make.backend(provider="ollama", apiBase="http://o"))),
    "Ollama by the chart": wrong(make.route("r", make.backend(provider="ollama")), release={"ollama_api_base": "http://o"}),
    "one embedding model by its base model": wrong(make.route("r", make.backend("a", **LARGE), make.backend("b", model="d", baseModel="text-embedding-3-large"), mode="embedding")),
    "different models that chat": wrong(make.route("r", make.backend("a"), make.backend("b", model="other"))),
    "the older of two routes with one name": wrong(make.route("o", modelName="r", **YOUNG), make.route("r")),
    "a name that a suspended route had": wrong(make.route("o", modelName="r", suspend=True, **OLD), make.route("r")),
    "a name of a route that lost another of its names": wrong(
        make.route("a", modelName="x", created="2026-07-01T08:00:00Z"), make.route("b", modelName="x", aliases=["r"], **OLD), make.route("r"),
    ),
    "an embedding alias that stood for the same model": wrong(make.route("r", make.backend(**LARGE), mode="embedding", aliases=["a"]), known={"a": LARGE["model"]}),
    "an embedding alias that was re-embedded": wrong(make.route("r", make.backend(**LARGE), mode="embedding", aliases=["a"], meta=ANNOTATED), known={"a": "old"}),
    "a chat alias that moves": wrong(make.route("r", aliases=["a"]), known={"b": "old"}),
    "a fallback by alias": wrong(make.route("x", aliases=["spare"], **YOUNG), make.route("r", fallbacks={"onError": ["spare"]})),
    "two routes that are each other's fallback": wrong(make.route("x", fallbacks={"onError": ["r"]}), make.route("r", fallbacks={"onError": ["x"]})),
}  # fmt: skip


@pytest.mark.parametrize("what", RIGHT)
def test_right(what: str) -> None:
    assert RIGHT[what] == []


def test_every_predicate_belongs_to_a_list_and_says_a_sentence() -> None:
    listed = {*checks.LOCAL, *checks.AFTER_CREDENTIALS, *checks.SHARED}
    named = {value for name, value in vars(checks).items() if callable(value) and getattr(value, "__module__", "") == checks.__name__ and name.islower()}
    assert named - listed == {checks.fallback_problem}
    assert all(message.count("\n") == 0 and not message.endswith(".") for found, *_ in WRONG.values() for _, message, _ in found)


def test_every_reason_belongs_to_one_condition() -> None:
    assert set(CONDITION_OF) == set(Reason)
    assert set(TRUE_REASON) == set(Condition)
    assert not {str(reason) for reason in Reason} & set(TRUE_REASON.values())
