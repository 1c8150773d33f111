"""The models each provider has, what each can do, and the length of the vectors of those that embed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOOLLESS: Final = ("phi4", "nomic-embed-text", "mxbai-embed-large", "llama2", "gemma2")
"""Ollama models whose template knows no tools."""

DIMENSIONS: Final = {
    "text-embedding-3-large": 3072,
    "text-embedding-3-small": 1536,
    "text-embedding-ada-002": 1536,
    "mistral-embed": 1024,
    "codestral-embed": 1536,
    "nomic-embed-text": 768,
    "mxbai-embed-large": 1024,
}

OPENAI: Final = {
    # The alias a client names, and the snapshot that the answer says it came from.
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "text-embedding-3-large": "text-embedding-3-large",
    "text-embedding-3-small": "text-embedding-3-small",
    "text-embedding-ada-002": "text-embedding-ada-002-v2",
    "whisper-1": "whisper-1",
    "gpt-4o-transcribe": "gpt-4o-transcribe",
}

MISTRAL: Final = (
    "mistral-large-latest", "mistral-large-2512", "mistral-medium-latest", "mistral-medium-2508",
    "mistral-small-latest", "mistral-small-2506", "ministral-14b-latest", "ministral-8b-latest",
    "ministral-3b-latest", "ministral-3-14b", "ministral-3-8b", "ministral-3-3b", "ministral-3-14b-2512",
    "ministral-3-8b-2512", "ministral-3-3b-2512", "codestral-latest", "mistral-embed", "codestral-embed",
    "voxtral-small-latest", "voxtral-mini-latest", "voxtral-mini-2602",
)  # fmt: skip

OLLAMA: Final = (
    "llama3.2:latest", "llama3.1:8b", "llama3.1:70b", "mistral:latest", "mixtral:8x7b", "qwen2.5:latest",
    "phi4:latest", "nomic-embed-text:latest", "mxbai-embed-large:latest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector space: the same text gives the same vector wherever this model is served."""

    space: str
    dimensions: int
    shortens: bool
    """Whether a caller may ask for fewer dimensions."""


def embedding(model: str) -> Embedding | None:
    """The embedding model a name stands for, None if it does not embed.

    Azure's names are its user's own, so the model is recognised inside the deployment's name.
    """
    for space, length in DIMENSIONS.items():
        if space in model or (space.startswith("text-") and space.removeprefix("text-embedding-") in model):
            return Embedding(space, length, shortens="embedding-3" in space or space == "codestral-embed")
    return Embedding("text-embedding-ada-002", 1536, shortens=False) if "embed" in model else None


def transcribes(model: str) -> bool:
    """Tells whether the model turns speech into text."""
    return any(word in model for word in ("whisper", "transcribe", "voxtral"))


def chats(model: str) -> bool:
    """Tells whether the model answers chats. Voxtral does both: it chats about what it hears."""
    return embedding(model) is None and (not transcribes(model) or "voxtral" in model)


def azure_snapshot(deployment: str) -> str:
    """The model an Azure deployment's answers say they came from, guessed from its name."""
    name = deployment.removesuffix("-deployment").replace("gpt-41", "gpt-4.1").replace("gpt-35", "gpt-3.5")
    return OPENAI.get(name, "gpt-4.1-2025-04-14")
