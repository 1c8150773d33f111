"""From a Secret's keys to litellm params."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelroute_operator.core import credentials
from modelroute_operator.core.conditions import Problem, Reason
from modelroute_operator.core.credentials import Credentials
from unit import make

READ_AS = {
    # The guide's .env
    ("openai", "OPENAI_API_KEY"): "api_key",
    ("azure", "AZURE_API_KEY"): "api_key",
    ("azure", "AZURE_API_BASE"): "api_base",
    ("azure", "AZURE_API_VERSION"): "api_version",
    ("mistral", "MISTRAL_API_KEY"): "api_key",
    ("ollama", "OLLAMA_API_BASE"): "api_base",
    ("ollama_chat", "OLLAMA_API_BASE"): "api_base",
    # Further names that LiteLLM itself reads
    ("openai", "OPENAI_BASE_URL"): "api_base",
    ("openai", "OPENAI_ORGANIZATION"): "organization",
    ("azure", "AZURE_AD_TOKEN"): "azure_ad_token",
    ("azure", "AZURE_TENANT_ID"): "tenant_id",
    ("azure", "AZURE_CLIENT_ID"): "client_id",
    ("azure", "AZURE_CLIENT_SECRET"): "client_secret",
    ("azure", "AZURE_SCOPE"): "azure_scope",
    ("azure_ai", "AZURE_AI_API_KEY"): "api_key",
    ("azure_ai", "AZURE_API_VERSION"): "api_version",
    ("anthropic", "ANTHROPIC_API_KEY"): "api_key",
    ("bedrock", "AWS_ACCESS_KEY_ID"): "aws_access_key_id",
    ("bedrock", "AWS_SECRET_ACCESS_KEY"): "aws_secret_access_key",
    ("bedrock", "AWS_SESSION_TOKEN"): "aws_session_token",
    ("bedrock", "AWS_REGION_NAME"): "aws_region_name",
    ("bedrock", "AWS_REGION"): "aws_region_name",
    ("bedrock", "AWS_BEARER_TOKEN_BEDROCK"): "api_key",
    ("vertex_ai", "VERTEXAI_PROJECT"): "vertex_project",
    ("vertex_ai", "VERTEXAI_LOCATION"): "vertex_location",
    ("vertex_ai", "VERTEX_PROJECT"): "vertex_project",
    ("gemini", "GEMINI_API_KEY"): "api_key",
    ("gemini", "GOOGLE_API_KEY"): "api_key",
    ("groq", "GROQ_API_KEY"): "api_key",
    ("cohere_chat", "COHERE_API_KEY"): "api_key",
    ("huggingface", "HF_TOKEN"): "api_key",
    ("nano-gpt", "NANO_GPT_API_KEY"): "api_key",
    ("perplexity", "PERPLEXITYAI_API_KEY"): "api_key",
    ("replicate", "REPLICATE_API_TOKEN"): "api_key",
    ("text-completion-openai", "OPENAI_API_KEY"): "api_key",
    ("together_ai", "TOGETHERAI_API_KEY"): "api_key",
    ("together_ai", "TOGETHER_AI_TOKEN"): "api_key",
    ("fireworks_ai", "FIREWORKS_API_KEY"): "api_key",
    ("voyage", "VOYAGE_API_KEY"): "api_key",
    ("watsonx", "WATSONX_APIKEY"): "api_key",
    ("watsonx", "WATSONX_URL"): "api_base",
    ("watsonx", "WATSONX_TOKEN"): "watsonx_token",
    ("watsonx", "WATSONX_PROJECT_ID"): "project_id",
    # LiteLLM's own params, at any provider
    ("mistral", "api_key"): "api_key",
    ("bedrock", "aws_region_name"): "aws_region_name",
    # Other providers' keys, and what is no credential
    ("openai", "AZURE_API_KEY"): None,
    ("azure", "OPENAI_API_KEY"): None,
    ("azure", "AZURE_AI_API_KEY"): None,
    ("azure", "AZURE_CHAT_DEPLOYMENT"): None,
    ("mistral", "AWS_ACCESS_KEY_ID"): None,
    ("openai", "OPENAI_PROJECT"): None,
    ("openai", "OPENAI_MODEL"): None,
    ("openai", "openai_api_key"): None,
    ("openai", "LITELLM_MASTER_KEY"): None,
    ("openai", "OPENAI_"): None,
    ("openai", ""): None,
}


@pytest.mark.parametrize(("provider", "key"), READ_AS, ids=lambda part: part or "empty")
def test_environment_name_is_read_as_litellm_reads_it(provider: str, key: str) -> None:
    reading = credentials.reading_of(provider, key)
    assert (reading and reading[1]) == READ_AS[provider, key]


WINS = {
    "a param's own name wins over an environment name": ("openai", ["OPENAI_API_KEY", "api_key"], "api_key"),
    "the provider's own name wins over its family's": ("azure_ai", ["AZURE_API_KEY", "AZURE_AI_API_KEY"], "AZURE_AI_API_KEY"),
    "an empty value counts as none": ("openai", ["OPENAI_API_KEY", "empty:api_key"], "OPENAI_API_KEY"),
}


@pytest.mark.parametrize("sentence", WINS)
def test_of_two_keys_for_one_param(sentence: str) -> None:
    provider, keys, winner = WINS[sentence]
    data = {key.removeprefix("empty:"): "" if key.startswith("empty:") else f"value of {key}" for key in keys}
    found = credentials.of(make.backend_of(provider=provider, credentialsSecretRef={"name": "s"}, apiBase="https://x.example"), "ai", make.secrets(s=data))
    assert isinstance(found, Credentials)
    assert found.keys["api_key"] == f"ai.s_{winner}"


def test_a_field_of_the_route_wins_over_the_secret() -> None:
    data = {"AZURE_API_KEY": "k", "AZURE_API_BASE": "https://secret.example", "AZURE_API_VERSION": "1"}
    found = credentials.of(make.backend_of(provider="azure", credentialsSecretRef={"name": "s"}, apiBase="https://x.example", apiVersion="2"), "ai", make.secrets(s=data))
    assert isinstance(found, Credentials)
    assert set(found.keys) == set(found.sources) - {"ai.s_AZURE_API_KEY"} | {"api_key"} == {"api_key"}


MISSING = {
    "the Secret does not exist": ({"credentialsSecretRef": {"name": "nowhere"}}, Reason.SECRET_NOT_FOUND, "kubectl -n ai create secret generic nowhere"),
    "the one key does not exist": ({"apiKeySecretRef": {"name": "s", "key": "kay"}}, Reason.SECRET_KEY_NOT_FOUND, "it has AZURE_API_KEY, blank"),
    "the one key is empty": ({"apiKeySecretRef": {"name": "s", "key": "blank"}}, Reason.SECRET_KEY_NOT_FOUND, "is empty; add it"),
    "the Secret has no key for this provider": (
        {"provider": "text-completion-openai", "credentialsSecretRef": {"name": "s"}}, Reason.SECRET_KEY_NOT_FOUND, "no api_key (or OPENAI_API_KEY)",
    ),
    "azure's address is nowhere": ({"provider": "azure", "credentialsSecretRef": {"name": "s"}}, Reason.SECRET_KEY_NOT_FOUND, "no api_base (or AZURE_API_BASE)"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", MISSING)
def test_missing_credentials_say_what_and_where(sentence: str) -> None:
    fields, reason, says = MISSING[sentence]
    found = credentials.of(make.backend_of(**fields), "ai", make.secrets(s={"AZURE_API_KEY": "k", "blank": ""}))
    assert isinstance(found, Problem)
    assert found.reason is reason
    assert says in found.message
    assert "backend default" in found.message


@pytest.mark.parametrize("provider", ["ollama", "bedrock", "vertex_ai", "hosted_vllm"])
def test_local_servers_and_cloud_identities_need_no_key(provider: str) -> None:
    assert isinstance(credentials.of(make.backend_of(provider=provider, credentialsSecretRef={"name": "s"}), "ai", make.secrets(s={})), Credentials)


def test_azure_by_entra_needs_no_key() -> None:
    data = {"AZURE_CLIENT_SECRET": "x", "AZURE_CLIENT_ID": "y", "AZURE_TENANT_ID": "z", "AZURE_API_BASE": "https://x.example"}
    found = credentials.of(make.backend_of(provider="azure", credentialsSecretRef={"name": "s"}), "ai", make.secrets(s=data))
    assert isinstance(found, Credentials)
    assert set(found.keys) == {"client_secret", "client_id", "tenant_id", "api_base"}


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
subdomains = st.lists(labels, min_size=1, max_size=12).map(".".join).filter(lambda name: len(name) <= 253)
keys = st.from_regex(r"[-._a-zA-Z0-9]{1,253}", fullmatch=True)
places = st.tuples(labels, subdomains, keys)


@given(places, places)
def test_names_in_the_managed_secret_are_valid_and_unique(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    names = [credentials.key_of(*place) for place in (one, other)]
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", name) for name in names)
    assert (names[0] == names[1]) == (one == other)


def test_a_dot_or_underscore_more_or_less_is_another_name() -> None:
    places = [("a", "b.c", "d"), ("a", "b", "c_d"), ("a", "b", "c.d"), ("a", "b-c", "d"), ("a", "b.c_d"[:3], "d_"), ("a", "b", "_c_d")]
    assert len({credentials.key_of(*place) for place in places}) == len(places)
