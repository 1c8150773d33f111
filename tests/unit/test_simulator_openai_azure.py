"""The simulator's OpenAI and Azure OpenAI, asked by the official client and, where the wire matters, by plain HTTP."""

from __future__ import annotations

import io
import json
import math
import wave
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

WEATHER: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}},
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}, "days": {"type": "integer", "minimum": 3}, "note": {"type": "string"}},
                "required": ["city", "unit", "days"],
            },
        },
    },
]

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
def client(server: simulator.Simulator) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.openai, api_key="sim-openai-key", max_retries=0)


@pytest.fixture(scope="module")
def azure(server: simulator.Simulator) -> openai.AzureOpenAI:
    return openai.AzureOpenAI(azure_endpoint=server.azure, api_key="sim-azure-key", api_version="2024-10-21", max_retries=0)


def post(url: str, body: object, **headers: str) -> httpx.Response:
    return http.post(url, json=body, headers=headers)


def events(response: httpx.Response) -> list[Any]:
    found = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert found.pop() == "[DONE]"
    return [json.loads(each) for each in found]


def wav(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setparams((1, 2, 8000, 0, "NONE", ""))
        audio.writeframes(bytes(int(seconds * 16000)))
    return file.getvalue()


def test_chat_names_provider_and_upstream_model(client: openai.OpenAI, azure: openai.AzureOpenAI) -> None:
    said = [c.chat.completions.create(model=model, messages=WEATHER) for c, model in ((client, "gpt-4.1"), (azure, "gpt-41-deployment"))]
    assert said[0].choices[0].message.content == "openai gpt-4.1 says: What is the weather in Paris?"
    assert said[1].choices[0].message.content == "azure gpt-41-deployment says: What is the weather in Paris?"
    assert [each.model for each in said] == ["gpt-4.1-2025-04-14"] * 2
    assert said[0].usage
    assert said[0].usage.total_tokens == said[0].usage.prompt_tokens + said[0].usage.completion_tokens


def test_stream_says_the_same_and_sends_usage_only_when_asked(client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model="gpt-4.1", messages=WEATHER, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == "openai gpt-4.1 says: What is the weather in Paris?"
    assert plain[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in plain[-2:]] == [None, "stop"]
    assert all(chunk.usage is None for chunk in plain)
    *_, last = client.chat.completions.create(model="gpt-4.1", messages=WEATHER, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage
    assert last.usage.completion_tokens == 9


def test_azure_stream_begins_with_prompt_filter_results_and_no_choices(sim: simulator.Simulator) -> None:
    url = f"{sim.azure}/openai/deployments/d/chat/completions?api-version=2024-02-15-preview"
    first, second, third, *_ = events(post(url, {"messages": WEATHER, "stream": True}, **{"api-key": "sim-azure-key"}))
    assert (first["choices"], first["id"]) == ([], "")
    assert first["prompt_filter_results"][0]["content_filter_results"]["jailbreak"] == {"filtered": False, "detected": False}
    assert second["choices"][0]["content_filter_results"] == {}
    assert third["choices"][0]["content_filter_results"]["violence"] == {"filtered": False, "severity": "safe"}


def test_tool_call_fits_the_schema_and_its_result_ends_in_words(client: openai.OpenAI) -> None:
    choice: Any = {"type": "function", "function": {"name": "get_weather"}}
    first = client.chat.completions.create(model="gpt-4.1", messages=WEATHER, tools=TOOLS, tool_choice=choice).choices[0]
    assert first.finish_reason == "tool_calls"
    call: Any = (first.message.tool_calls or [])[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "unit": "celsius", "days": 3}
    messages: Any = [*WEATHER, first.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = client.chat.completions.create(model="gpt-4.1", messages=messages, tools=TOOLS).choices[0]
    assert second.message.content == "openai gpt-4.1 says: the tool answered sunny"


def test_tools_are_left_alone_when_the_caller_forbids_them(client: openai.OpenAI) -> None:
    message = client.chat.completions.create(model="gpt-4.1", messages=WEATHER, tools=TOOLS, tool_choice="none").choices[0].message
    assert message.tool_calls is None


def test_streamed_tool_call_comes_in_pieces_that_join_to_the_arguments(azure: openai.AzureOpenAI) -> None:
    deltas = [
        call
        for chunk in azure.chat.completions.create(model="d", messages=WEATHER, tools=TOOLS[1:], stream=True)
        for choice in chunk.choices
        for call in choice.delta.tool_calls or []
    ]
    assert deltas[0].id
    assert deltas[0].function
    assert deltas[0].function.name == "get_weather"
    assert all(call.id is None for call in deltas[1:])
    joined = "".join(call.function.arguments or "" for call in deltas if call.function)
    assert json.loads(joined)["city"] == "Paris"


def test_max_tokens_cuts_the_answer_and_says_so(client: openai.OpenAI) -> None:
    choice = client.chat.completions.create(model="gpt-4.1", messages=WEATHER, max_completion_tokens=2).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("openai gpt-4.1 ", "length")


@pytest.mark.parametrize(("model", "dimensions"), [("text-embedding-3-large", 3072), ("text-embedding-3-small", 1536), ("text-embedding-ada-002", 1536)])
def test_vector_is_of_true_length_at_length_one_and_the_same_in_both_encodings(client: openai.OpenAI, model: str, dimensions: int) -> None:
    floats = client.embeddings.create(model=model, input=["a", "b"], encoding_format="float").data
    packed = client.embeddings.create(model=model, input="a").data[0].embedding
    assert len(floats[0].embedding) == len(packed) == dimensions
    assert math.hypot(*packed) == pytest.approx(1, abs=1e-5)
    assert packed == pytest.approx(floats[0].embedding, abs=1e-6)
    assert floats[0].embedding != floats[1].embedding


def test_openai_and_azure_agree_on_the_vectors_of_one_model(client: openai.OpenAI, azure: openai.AzureOpenAI) -> None:
    one = client.embeddings.create(model="text-embedding-3-large", input="a").data[0].embedding
    assert azure.embeddings.create(model="text-embedding-3-large-deployment", input="a").data[0].embedding == one


def test_dimensions_are_for_the_third_generation_only(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="text-embedding-3-large", input="a", dimensions=256).data[0].embedding) == 256
    with pytest.raises(openai.BadRequestError, match="does not support specifying dimensions"):
        client.embeddings.create(model="text-embedding-ada-002", input="a", dimensions=256)


def test_transcription_in_every_format(client: openai.OpenAI) -> None:
    def heard(response_format: Any) -> Any:
        return client.audio.transcriptions.create(model="whisper-1", file=("a.wav", wav(1.5)), response_format=response_format)

    text = "openai whisper-1 heard 1.5 seconds of audio."
    assert heard("json").text == text
    assert heard("text") == f"{text}\n"
    verbose = heard("verbose_json")
    assert (verbose.text, verbose.duration, verbose.segments[0].end) == (text, 1.5, 1.5)
    assert heard("srt").startswith(f"1\n00:00:00,000 --> 00:00:01,500\n{text}")
    assert heard("vtt").startswith(f"WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n{text}")


def test_transcription_wants_a_file_that_is_long_enough_and_audio(client: openai.OpenAI, sim: simulator.Simulator) -> None:
    for name, seconds, said in (("a.wav", 0.05, "too short"), ("a.txt", 1, "Invalid file format")):
        with pytest.raises(openai.BadRequestError, match=said):
            client.audio.transcriptions.create(model="whisper-1", file=(name, wav(seconds)))
    form = {"model": (None, "whisper-1")}
    missing = http.post(f"{sim.openai}/audio/transcriptions", files=form, headers={"Authorization": "Bearer sim-openai-key"})
    assert missing.status_code == 400
    assert "field required" in missing.json()["error"]["message"]


def test_wrong_key_is_refused_in_each_providers_own_words(sim: simulator.Simulator) -> None:
    url = f"{sim.openai}/chat/completions"
    missing = post(url, {}).json()["error"]
    wrong = post(url, {}, Authorization="Bearer sk-0123456789abcdef").json()["error"]
    assert (missing["code"], wrong["code"]) == (None, "invalid_api_key")
    assert wrong["message"].startswith("Incorrect API key provided: sk-01234*******cdef.")
    azure = f"{sim.azure}/openai/deployments/d/chat/completions?api-version=2024-10-21"
    assert post(azure, {}, **{"api-key": "x"}).json()["error"]["message"].startswith("Access denied due to invalid subscription key")
    assert post(azure, {}).json()["statusCode"] == 401
    assert {post(url, {}).status_code, post(azure, {}).status_code, post(azure, {}, **{"api-key": "x"}).status_code} == {401}


@pytest.mark.parametrize("query", ["", "?api-version=", "?api-version=2024", "?api-version=2024-10-21-beta", "?api-version=latest"])
def test_azure_knows_no_path_without_a_true_api_version(sim: simulator.Simulator, query: str) -> None:
    refused = post(f"{sim.azure}/openai/deployments/d/chat/completions{query}", {"messages": WEATHER}, **{"api-key": "sim-azure-key"})
    assert (refused.status_code, refused.json()) == (404, {"error": {"code": "404", "message": "Resource not found"}})


def test_azure_takes_the_key_in_its_own_header_or_a_bearer_token(sim: simulator.Simulator) -> None:
    url = f"{sim.azure}/openai/deployments/d/chat/completions?api-version=2024-10-21"
    for headers in ({"api-key": "sim-azure-key"}, {"Authorization": "Bearer sim-azure-key"}):
        assert post(url, {"messages": WEATHER}, **headers).status_code == 200


def test_unknown_model_and_deployment(client: openai.OpenAI, azure: openai.AzureOpenAI, sim: simulator.Simulator) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-9", messages=WEATHER)
    assert unknown.value.code == "model_not_found"
    sim.state.models["azure"] = frozenset({"mine"})
    assert azure.chat.completions.create(model="mine", messages=WEATHER).choices
    with pytest.raises(openai.NotFoundError) as missing:
        azure.chat.completions.create(model="other", messages=WEATHER)
    assert missing.value.code == "DeploymentNotFound"


def test_model_of_another_kind_and_unknown_fields_are_refused(client: openai.OpenAI, azure: openai.AzureOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="not a chat model"):
        client.chat.completions.create(model="whisper-1", messages=WEATHER)
    with pytest.raises(openai.BadRequestError, match="The chatCompletion operation does not work with the specified model"):
        azure.chat.completions.create(model="text-embedding-ada-002", messages=WEATHER)
    with pytest.raises(openai.BadRequestError) as unknown:
        client.chat.completions.create(model="gpt-4.1", messages=WEATHER, extra_body={"api_base": "http://elsewhere"})
    assert (unknown.value.code, unknown.value.param) == ("unknown_parameter", "api_base")


def test_answers_carry_the_providers_headers(client: openai.OpenAI, azure: openai.AzureOpenAI) -> None:
    one = client.chat.completions.with_raw_response.create(model="gpt-4.1", messages=WEATHER).headers
    assert one["x-request-id"].startswith("req_")
    assert {"openai-organization", "openai-processing-ms", "openai-version", "x-ratelimit-remaining-tokens"} <= set(one)
    other = azure.chat.completions.with_raw_response.create(model="d", messages=WEATHER).headers
    assert other["apim-request-id"] == other["x-request-id"]
    assert (other["x-ms-region"], other["x-ms-deployment-name"]) == ("Sweden Central", "d")


def test_models_are_listed(client: openai.OpenAI, azure: openai.AzureOpenAI) -> None:
    assert {"gpt-4.1", "whisper-1", "text-embedding-3-large"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("gpt-4.1").owned_by == "system"
    assert "gpt-4.1" in {model.id for model in azure.models.list()}
