"""The simulator's Mistral and Ollama: where they differ from OpenAI is what matters."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

WEATHER: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]

http = httpx.Client(verify=False, timeout=10)
"""One for all tests: making one reads the machine's certificates, which takes longer than a test."""


@pytest.fixture(scope="module")
def server() -> Iterator[simulator.Simulator]:
    with simulator.in_background() as running:
        yield running


@pytest.fixture(autouse=True)
def sim(server: simulator.Simulator) -> simulator.Simulator:
    server.state.reset()
    return server


@pytest.fixture(scope="module")
def mistral(server: simulator.Simulator) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.mistral, api_key="sim-mistral-key", max_retries=0)


def ollama(sim: simulator.Simulator, path: str, body: object) -> httpx.Response:
    """Sends JSON as LiteLLM does: as application/octet-stream."""
    return http.post(f"{sim.ollama}{path}", content=json.dumps(body), headers={"Content-Type": "application/octet-stream"})


def objects(response: httpx.Response) -> list[Any]:
    assert response.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_mistral_ids_are_bare_and_tool_calls_have_nine_letters(mistral: openai.OpenAI) -> None:
    completion = mistral.chat.completions.create(model="mistral-large-latest", messages=WEATHER, tools=TOOLS)
    assert re.fullmatch(r"[0-9a-f]{32}", completion.id)
    call: Any = (completion.choices[0].message.tool_calls or [])[0]
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", call.id)
    assert (call.type, call.function.arguments) == (None, '{"city": "Paris"}')


def test_mistral_stream_ends_with_usage_unasked_and_sends_a_tool_call_whole(mistral: openai.OpenAI) -> None:
    chunks = list(mistral.chat.completions.create(model="mistral-large-latest", messages=WEATHER, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "mistral mistral-large-latest says: What is the weather in Paris?"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage
    *_, last = mistral.chat.completions.create(model="mistral-large-latest", messages=WEATHER, tools=TOOLS, stream=True)
    call = (last.choices[0].delta.tool_calls or [])[0]
    assert call.function
    assert call.function.arguments == '{"city": "Paris"}'
    assert last.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("extra", [{"stream_options": {"include_usage": True}}, {"max_completion_tokens": 5}, {"user": "me"}, {"seed": 1}])
def test_mistral_forbids_fields_of_openai_that_it_does_not_know(mistral: openai.OpenAI, extra: dict[str, Any]) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        mistral.chat.completions.create(model="mistral-large-latest", messages=WEATHER, extra_body=extra)
    (name,) = extra
    (found,) = refused.value.response.json()["detail"]
    assert (found["type"], found["loc"], found["msg"]) == ("extra_forbidden", ["body", name], "Extra inputs are not permitted")


def test_mistral_forbids_fields_of_messages_ids_of_others_and_a_last_word_of_its_own(mistral: openai.OpenAI) -> None:
    def refused(*messages: Any) -> Any:
        with pytest.raises(openai.APIStatusError) as caught:
            mistral.chat.completions.create(model="mistral-large-latest", messages=messages)
        return caught.value.response.json()

    named = refused({"role": "user", "content": "x", "name": "me"})
    assert named["detail"][0]["loc"] == ["body", "messages", 0, "user", "name"]
    call = {"id": "call_0123456789", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    foreign = refused(*WEATHER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": call["id"], "content": "x"})
    assert (foreign["type"], foreign["code"]) == ("invalid_function_call", "3280")
    assert refused({"role": "assistant", "content": "x"})["code"] == "3230"


def test_mistral_unauthorized_and_invalid_model(sim: simulator.Simulator, mistral: openai.OpenAI) -> None:
    assert http.post(f"{sim.mistral}/chat/completions", json={}).json() == {"detail": "Unauthorized"}
    with pytest.raises(openai.BadRequestError) as unknown:
        mistral.chat.completions.create(model="mistral-embed", messages=WEATHER)
    assert unknown.value.response.json()["code"] == "1500"


@pytest.mark.parametrize(("model", "dimensions"), [("mistral-embed", 1024), ("codestral-embed", 1536)])
def test_mistral_vectors(mistral: openai.OpenAI, model: str, dimensions: int) -> None:
    assert len(mistral.embeddings.create(model=model, input="a").data[0].embedding) == dimensions


def test_mistral_transcription_counts_seconds_and_has_no_formats(mistral: openai.OpenAI) -> None:
    raw = mistral.audio.transcriptions.with_raw_response.create(model="voxtral-mini-latest", file=("a.mp3", bytes(32_000)))
    body = raw.http_response.json()
    assert body["text"] == "mistral voxtral-mini-latest heard 2.0 seconds of audio."
    assert (body["model"], body["usage"]["prompt_audio_seconds"]) == ("voxtral-mini-latest", 2)


def test_ollama_streams_lines_unless_told_not_to(sim: simulator.Simulator) -> None:
    *words, end = objects(ollama(sim, "/api/chat", {"model": "llama3.2", "messages": WEATHER}))
    assert "".join(each["message"]["content"] for each in words) == "ollama llama3.2 says: What is the weather in Paris?"
    assert not any(each["done"] for each in words)
    assert (end["done"], end["done_reason"], end["eval_count"]) == (True, "stop", len(words))
    assert {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_duration"} <= set(end)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", end["created_at"])
    whole = ollama(sim, "/api/chat", {"model": "llama3.2", "messages": WEATHER, "stream": False}).json()
    assert whole["message"]["content"] == "ollama llama3.2 says: What is the weather in Paris?"


@pytest.mark.parametrize("stream", [True, False])
def test_ollama_tool_call_has_an_object_for_arguments(sim: simulator.Simulator, stream: bool) -> None:
    response = ollama(sim, "/api/chat", {"model": "llama3.2", "messages": WEATHER, "tools": TOOLS, "stream": stream})
    first = objects(response)[0] if stream else response.json()
    assert first["message"]["tool_calls"][0]["function"]["arguments"] == {"city": "Paris"}


def test_ollama_refuses_tools_for_models_without_and_chat_for_models_that_embed(sim: simulator.Simulator) -> None:
    refused = ollama(sim, "/api/chat", {"model": "phi4", "messages": WEATHER, "tools": TOOLS})
    assert (refused.status_code, refused.json()) == (400, {"error": "registry.ollama.ai/library/phi4:latest does not support tools"})
    assert ollama(sim, "/api/chat", {"model": "phi4", "messages": WEATHER}).status_code == 200
    refused = ollama(sim, "/api/chat", {"model": "nomic-embed-text", "messages": WEATHER})
    assert refused.json() == {"error": '"nomic-embed-text" does not support chat'}


def test_ollama_generates_and_calls_the_functions_that_litellm_puts_in_the_prompt(sim: simulator.Simulator) -> None:
    said = ollama(sim, "/api/generate", {"model": "mistral", "prompt": "Hello", "stream": False}).json()
    assert said["response"] == "ollama mistral says: Hello"
    told = "To call a function, reply with JSON ONLY. The following functions are available to you:\n"
    prompt = f"What is the weather in Paris?\n{told}{TOOLS[0]['function']!r}\n"
    called = ollama(sim, "/api/generate", {"model": "mistral", "prompt": prompt, "stream": False}).json()
    assert json.loads(called["response"]) == {"name": "get_weather", "arguments": {"city": "Paris"}}


@pytest.mark.parametrize(("model", "dimensions"), [("nomic-embed-text", 768), ("mxbai-embed-large:latest", 1024)])
def test_ollama_vectors(sim: simulator.Simulator, model: str, dimensions: int) -> None:
    body = ollama(sim, "/api/embed", {"model": model, "input": ["a", "b"]}).json()
    assert [len(vector) for vector in body["embeddings"]] == [dimensions] * 2


def test_ollama_answers_for_a_model_once_it_is_pulled(sim: simulator.Simulator) -> None:
    ask = {"model": "gemma3:1b", "messages": WEATHER, "stream": False}
    assert ollama(sim, "/api/chat", ask).json() == {"error": "model 'gemma3:1b' not found"}
    *progress, last = objects(ollama(sim, "/api/pull", {"model": "gemma3:1b"}))
    assert last == {"status": "success"}
    assert [each["completed"] for each in progress if "completed" in each][-1] == progress[1]["total"]
    assert ollama(sim, "/api/chat", ask).status_code == 200
    assert "gemma3:1b" in {model["name"] for model in http.get(f"{sim.ollama}/api/tags").json()["models"]}
    assert http.request("DELETE", f"{sim.ollama}/api/delete", json={"model": "gemma3:1b"}).status_code == 200
    assert ollama(sim, "/api/chat", ask).status_code == 404


def test_ollama_pull_of_a_missing_model_fails_inside_the_stream(sim: simulator.Simulator) -> None:
    response = ollama(sim, "/api/pull", {"model": "missing-model"})
    assert (response.status_code, objects(response)[-1]) == (200, {"error": "pull model manifest: file does not exist"})


def test_ollama_shows_what_a_model_can_do(sim: simulator.Simulator) -> None:
    shown = {name: ollama(sim, "/api/show", {"name": name}).json()["capabilities"] for name in ("llama3.2", "phi4", "nomic-embed-text")}
    assert shown == {"llama3.2": ["completion", "tools"], "phi4": ["completion"], "nomic-embed-text": ["embedding"]}
    assert http.get(sim.ollama).text == "Ollama is running"
