"""Keys are rotated in the Secret; the proxies use the new one, and nobody's request fails."""

from __future__ import annotations

import secrets

import pytest
from cluster.application import Client
from cluster.harness import Proxies, Routes, Simulator, backend, keyed, until, versions
from deploy import SIMULATOR

pytestmark = pytest.mark.usefixtures("neighbours")
WORKERS = 8
MODEL = "gpt-4o"
CALM = 10 * WORKERS
"""So many requests in a row with the new key: none with the old one can still be on its way."""


def test_a_key_is_rotated_under_load(routes: Routes, proxies: Proxies, simulator: Simulator, client: Client) -> None:
    """As an engineer does it: the new key is valid, the Secret changes, the old key is revoked; eight threads ask through the Service all along."""
    old, new = f"sk-old-{secrets.token_hex(16)}", f"sk-new-{secrets.token_hex(16)}"
    valid = {"default": "sim-openai-key", "old": old, "new": new}
    name = routes.ready("rotating", keyed(MODEL, routes.secret("rotating", api_key=old)))
    before, statuses = proxies.digest(), versions("modelroutes", name)

    def used(after: int) -> list[str | None]:
        return [seen["keyName"] for seen in simulator.received(model=MODEL, after=after)]

    def newest() -> int:
        return max((seen["ordinal"] for seen in simulator.received(model=MODEL, limit=1)), default=0)

    simulator.call("PUT", "/keys/openai", {"keys": valid})
    start = newest()
    try:
        with proxies.untouched() as pods, client.load(name, f"openai {MODEL} says: Hello", WORKERS) as load:
            until("the load is on", lambda: used(start).count("old") > CALM)
            routes.secret("rotating", api_key=new)
            until("the operator published the new key", lambda: proxies.digest() != before)
            until("every proxy confirmed it", lambda: {pod.digest() for pod in pods} == {proxies.digest()})
            confirmed = newest()
            assert [pod.chat(name, "with the new key") for pod in pods] == [f"openai {MODEL} says: with the new key"] * len(pods)
            until("no request is on its way with the old key", lambda: "old" not in (last := used(confirmed)[-CALM:]) and len(last) == CALM)
            simulator.call("PUT", "/keys/openai", {"keys": {name: key for name, key in valid.items() if name != "old"}})
            revoked = newest()
            until("the load goes on", lambda: len(used(revoked)) > CALM)
        asked = [seen for seen in simulator.received(model=MODEL, after=confirmed) if "with the new key" in str(seen["body"])]
        assert [seen["keyName"] for seen in asked] == ["new"] * len(pods)
        assert set(used(revoked)) == {"new"}
        assert load["failures"] == []
        assert load["asked"] > 3 * CALM
        assert versions("modelroutes", name) == statuses, "a rotation is no news to a route's status"
    finally:
        simulator.call("DELETE", "/keys/openai")


def test_an_address_in_a_secret_changes_too(routes: Routes, proxies: Proxies) -> None:
    """A whole Secret in LiteLLM's environment names: the next request goes where it now says."""
    url = f"http://{SIMULATOR}.{SIMULATOR}:8080"
    secret = routes.secret("moving", MISTRAL_API_KEY="sim-mistral-key", MISTRAL_API_BASE=f"{url}/mistral/v1")
    with proxies.untouched() as pods:
        name = routes.ready("moving", backend("mistral-large-latest", "mistral", credentialsSecretRef={"name": secret}))
        assert [pod.chat(name) for pod in pods] == ["mistral mistral-large-latest says: Hello"] * len(pods)
        before = proxies.digest()
        routes.secret("moving", MISTRAL_API_KEY="sim-mistral-key", MISTRAL_API_BASE=f"{url}/nowhere/v1")
        until("every proxy confirmed it", lambda: proxies.digest() != before and {pod.digest() for pod in pods} == {proxies.digest()})
        assert {pod.http("/v1/chat/completions", method="POST", json={"model": name, "messages": [{"role": "user", "content": "Hello"}]}).status_code for pod in pods} == {404}
        before = proxies.digest()
        routes.secret("moving", MISTRAL_API_KEY="sim-mistral-key", MISTRAL_API_BASE=f"{url}/mistral/v1")
        until("every proxy confirmed it", lambda: proxies.digest() != before and {pod.digest() for pod in pods} == {proxies.digest()})
        assert [pod.chat(name) for pod in pods] == ["mistral mistral-large-latest says: Hello"] * len(pods)
