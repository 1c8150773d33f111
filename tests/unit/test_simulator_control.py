"""The simulator's `/_sim/`: what it is told, and what it tells."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO: list[Any] = [{"role": "user", "content": "one two three"}]
MODELS = {"openai": "gpt-4.1", "azure": "gpt-41-deployment", "mistral": "mistral-large-latest"}

http = httpx.Client(verify=False, timeout=10)
"""One for all tests: making one reads the machine's certificates, which takes longer than a test."""


@pytest.fixture(scope="module")
def server() -> Iterator[simulator.Simulator]:
    with simulator.in_background() as running:
        yield running


@pytest.fixture(autouse=True)
def sim(server: simulator.Simulator) -> simulator.Simulator:
    assert http.delete(server.control).status_code == 200
    return server


@pytest.fixture(scope="module")
def clients(server: simulator.Simulator) -> dict[str, openai.OpenAI]:
    return {
        "openai": openai.OpenAI(base_url=server.openai, api_key="sim-openai-key", max_retries=0),
        "azure": openai.AzureOpenAI(azure_endpoint=server.azure, api_key="sim-azure-key", api_version="2024-10-21", max_retries=0),
        "mistral": openai.OpenAI(base_url=server.mistral, api_key="sim-mistral-key", max_retries=0),
    }


def chat(client: openai.OpenAI, model: str) -> Any:
    return client.chat.completions.create(model=model, messages=HELLO)


def rule(sim: simulator.Simulator, name: str = "r", /, **body: Any) -> None:
    assert http.put(f"{sim.control}/rules/{name}", json=body).status_code == 200


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize(("status", "raised"), [(500, openai.InternalServerError), (503, openai.InternalServerError), (408, openai.APIStatusError)])
def test_fails_as_told_as_often_as_told(sim: simulator.Simulator, clients: dict[str, openai.OpenAI], provider: str, status: int, raised: type[openai.APIStatusError]) -> None:
    rule(sim, provider=provider, status=status, count=2)
    for _ in range(2):
        with pytest.raises(raised) as failed:
            chat(clients[provider], MODELS[provider])
        assert failed.value.status_code == status
    assert chat(clients[provider], MODELS[provider]).choices
    assert http.get(f"{sim.control}/rules").json()["rules"][0]["left"] == 0


def test_a_rule_touches_only_the_provider_and_model_it_names(sim: simulator.Simulator, clients: dict[str, openai.OpenAI]) -> None:
    rule(sim, provider="openai", model="gpt-4.1-*", status=500)
    assert chat(clients["openai"], "gpt-4.1").choices
    assert chat(clients["azure"], "gpt-4.1-mini").choices
    with pytest.raises(openai.InternalServerError):
        chat(clients["openai"], "gpt-4.1-mini")
    http.delete(f"{sim.control}/rules/r")
    assert chat(clients["openai"], "gpt-4.1-mini").choices


@pytest.mark.parametrize("provider", MODELS)
def test_rate_limit_says_when_to_come_back(sim: simulator.Simulator, clients: dict[str, openai.OpenAI], provider: str) -> None:
    rule(sim, provider=provider, fail="rate-limit", retryAfter=7)
    with pytest.raises(openai.RateLimitError) as limited:
        chat(clients[provider], MODELS[provider])
    headers = limited.value.response.headers
    assert headers["Retry-After"] == "7"
    assert "0" in {headers.get("x-ratelimit-remaining-requests"), headers.get("x-ratelimit-remaining-req-minute")}


@pytest.mark.parametrize(
    ("provider", "fail", "status", "said"),
    [
        ("openai", "context-window", 400, '"code":"context_length_exceeded"'),
        ("azure", "context-window", 400, '"code":"context_length_exceeded"'),
        ("mistral", "context-window", 400, "too large for model with"),
        ("openai", "content-policy", 400, '"code":"invalid_prompt"'),
        ("azure", "content-policy", 400, '"code":"ResponsibleAIPolicyViolation"'),
    ],
)
def test_errors_have_the_providers_true_bodies(sim: simulator.Simulator, clients: dict[str, openai.OpenAI], provider: str, fail: str, status: int, said: str) -> None:
    rule(sim, provider=provider, fail=fail)
    with pytest.raises(openai.APIStatusError) as failed:
        chat(clients[provider], MODELS[provider])
    assert failed.value.status_code == status
    assert said in failed.value.response.text


def test_delays_answers_and_chunks(sim: simulator.Simulator, clients: dict[str, openai.OpenAI]) -> None:
    rule(sim, "slow", delay=0.1, model="gpt-4.1")
    rule(sim, "slow-stream", chunkDelay=0.02, model="gpt-4.1")
    started = time.perf_counter()
    chunks = list(clients["openai"].chat.completions.create(model="gpt-4.1", messages=HELLO, stream=True))
    assert time.perf_counter() - started >= 0.1 + 0.02 * (len(chunks) - 1)


def test_drops_connections_before_and_during_an_answer(sim: simulator.Simulator, clients: dict[str, openai.OpenAI]) -> None:
    rule(sim, fail="disconnect", count=1)
    with pytest.raises(openai.APIConnectionError):
        chat(clients["openai"], "gpt-4.1")
    rule(sim, cutAfterChunks=3)
    seen: list[Any] = []
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError, httpx.ReadError)):
        seen.extend(clients["openai"].chat.completions.create(model="gpt-4.1", messages=HELLO, stream=True))
    assert len(seen) == 3
    assert [each["aborted"] for each in http.get(f"{sim.control}/requests").json()["requests"]] == [True, True]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"provider": "anthropic", "status": 500}, "There is no provider anthropic"),
        ({"fail": "explode"}, "fail is one of"),
        ({"statusCode": 500}, "A rule has no statusCode"),
        ({"status": 999}, "999 is no HTTP status"),
        ({"provider": "mistral", "fail": "content-policy"}, "Only openai and azure"),
    ],
)
def test_refuses_a_rule_it_cannot_keep_and_says_why(sim: simulator.Simulator, body: dict[str, Any], said: str) -> None:
    refused = http.put(f"{sim.control}/rules/r", json=body)
    assert refused.status_code == 400
    assert said in refused.json()["error"]
    assert http.get(f"{sim.control}/rules").json() == {"rules": []}


def test_keys_rotate_and_requests_tell_which_one_came(sim: simulator.Simulator, clients: dict[str, openai.OpenAI]) -> None:
    http.put(f"{sim.control}/keys/openai", json={"keys": {"old": "sim-openai-key", "new": "next-key"}})
    chat(clients["openai"], "gpt-4.1")
    chat(clients["openai"].copy(api_key="next-key"), "gpt-4.1")
    http.put(f"{sim.control}/keys/openai", json={"keys": {"new": "next-key"}})
    with pytest.raises(openai.AuthenticationError):
        chat(clients["openai"], "gpt-4.1")
    found = http.get(f"{sim.control}/requests?provider=openai").json()["requests"]
    assert [(each["keyName"], each["status"]) for each in found] == [("old", 200), ("new", 200), (None, 401)]


def test_no_key_ever_leaves_through_the_control_api(sim: simulator.Simulator, clients: dict[str, openai.OpenAI]) -> None:
    chat(clients["openai"], "gpt-4.1")
    chat(clients["azure"], "d")
    told = http.get(f"{sim.control}/requests").text + http.get(sim.control).text
    assert "sim-openai-key" not in told
    assert "sim-azure-key" not in told
    assert "sha256:" in told


def test_requests_are_told_in_order_selected_and_forgotten(sim: simulator.Simulator, clients: dict[str, openai.OpenAI]) -> None:
    chat(clients["openai"], "gpt-4.1")
    chat(clients["openai"], "gpt-4.1-mini")
    clients["azure"].audio.transcriptions.create(model="whisper-d", file=("a.wav", b"RIFF" * 2000))
    found = http.get(f"{sim.control}/requests").json()["requests"]
    assert [each["model"] for each in found] == ["gpt-4.1", "gpt-4.1-mini", "whisper-d"]
    assert found[0]["body"] == {"model": "gpt-4.1", "messages": HELLO}
    assert found[2]["query"] == {"api-version": "2024-10-21"}
    assert (found[2]["body"]["file"]["filename"], found[2]["body"]["file"]["bytes"]) == ("a.wav", 8000)
    after = http.get(f"{sim.control}/requests", params={"after": found[0]["ordinal"], "model": "gpt*"}).json()
    assert [each["model"] for each in after["requests"]] == ["gpt-4.1-mini"]
    http.delete(f"{sim.control}/requests")
    assert http.get(f"{sim.control}/requests").json() == {"requests": [], "total": 0}


def test_counts_go_on_while_recording_is_off(sim: simulator.Simulator, clients: dict[str, openai.OpenAI]) -> None:
    http.put(f"{sim.control}/recording", json={"on": False})
    chat(clients["openai"], "gpt-4.1")
    assert http.get(f"{sim.control}/requests").json()["total"] == 0
    assert http.get(f"{sim.control}/counts").json()["counts"]["openai"] == {"gpt-4.1": 1}


def test_starts_from_a_flat_directory_of_any_name_and_ends_when_told(tmp_path: Path) -> None:
    source = Path(simulator.__file__).parent
    flat = tmp_path / "..2026_mounted"
    flat.mkdir()
    for file in source.glob("*.py"):
        shutil.copy(file, flat)
    (tmp_path / "sim").symlink_to(flat)
    command = [sys.executable, str(tmp_path / "sim"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("simulator listens on http://127.0.0.1:")
        address = line.split()[3].rstrip(":")
        assert http.get(f"{address}/ollama/api/version").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
