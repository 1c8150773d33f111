"""The models on an Ollama server: listed, shown, pulled, deleted."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from . import models
from .exchange import Refused, Reply, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .exchange import Call

JSON: Final = "application/json; charset=utf-8"
VERSION: Final = "0.17.4"
SIZE: Final = 2_019_393_189
"""Bytes of every model here."""
STEPS: Final = 8
"""How many times a pull reports its progress."""


def routes() -> list[tuple[str, str, Callable[[Call], Reply | Stream]]]:
    """Everything but inference."""
    return [
        ("GET", "", lambda _: Reply("Ollama is running", content_type="text/plain; charset=utf-8")),
        ("GET", "/", lambda _: Reply("Ollama is running", content_type="text/plain; charset=utf-8")),
        ("GET", "/api/version", lambda _: Reply({"version": VERSION}, content_type=JSON)),
        ("GET", "/api/tags", tags),
        ("GET", "/api/ps", lambda _: Reply({"models": []}, content_type=JSON)),
        ("POST", "/api/show", show),
        ("POST", "/api/pull", pull),
        ("DELETE", "/api/delete", delete),
    ]


def tagged(name: str) -> str:
    """The model's full name: `llama3.2` is `llama3.2:latest`."""
    return name if ":" in name else f"{name}:latest"


def have(call: Call) -> frozenset[str]:
    """The models that were pulled, by full name."""
    pulled = call.state.models["ollama"]
    return frozenset(models.OLLAMA) if pulled is None else frozenset(map(tagged, pulled))


def capabilities(name: str) -> list[str]:
    """What `/api/show` says a model can do."""
    if models.embedding(name):
        return ["embedding"]
    toolless = any(word in name for word in models.TOOLLESS)
    return ["completion"] if toolless else ["completion", "tools"]


def digest(name: str) -> str:
    """The digest of a model's blob."""
    return hashlib.sha256(name.encode()).hexdigest()


def details(name: str) -> dict[str, Any]:
    """The part that tags and show have in common."""
    family = "nomic-bert" if models.embedding(name) else "llama"
    return {
        "parent_model": "", "format": "gguf", "family": family, "families": [family], "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    }  # fmt: skip


def not_found(name: str) -> Refused:
    """The model was not pulled."""
    return Refused(Reply({"error": f"model '{name}' not found"}, 404, JSON))


def tags(call: Call) -> Reply:
    """`GET /api/tags`: every model pulled."""
    return Reply(
        {
            "models": [
                {"name": name, "model": name, "modified_at": "2026-11-01T08:52:19.385406455Z", "size": SIZE,
                 "digest": digest(name), "details": details(name)}
                for name in sorted(have(call))
            ]
        },
        content_type=JSON,
    )  # fmt: skip


def show(call: Call) -> Reply:
    """`POST /api/show`."""
    name = tagged(call.model)
    if name not in have(call):
        raise not_found(call.model)
    can = capabilities(name)
    template = "{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}" if "tools" in can else "{{ .Prompt }}"
    architecture = details(name)["family"]
    return Reply(
        {
            "license": "simulated", "modelfile": f"FROM {name}\n", "parameters": 'stop "<|eot_id|>"',
            "template": template, "details": details(name), "capabilities": can,
            "model_info": {"general.architecture": architecture, f"{architecture}.context_length": 131072},
            "modified_at": "2026-11-01T08:52:19.385406455Z",
        },
        content_type=JSON,
    )  # fmt: skip


def pull(call: Call) -> Reply | Stream:
    """`POST /api/pull`: any model can be pulled but one whose name contains `missing`.

    Ollama answers 200 before it knows; what goes wrong afterwards is a line of the stream.
    """
    name = tagged(call.model)
    if not call.body.get("stream", True):
        *_, last = progress(call, name)
        return Reply(last, 500 if "error" in last else 200, JSON)
    return Stream((json.dumps(each).encode() + b"\n" for each in progress(call, name)), "application/x-ndjson")


def progress(call: Call, name: str) -> Iterator[dict[str, Any]]:
    """What a pull reports; the model is there once it has said success."""
    yield {"status": "pulling manifest"}
    if "missing" in name:
        yield {"error": "pull model manifest: file does not exist"}
        return
    blob = digest(name)
    for step in range(STEPS + 1):
        done = {"completed": SIZE * step // STEPS} if step else {}
        yield {"status": f"pulling {blob[:12]}", "digest": f"sha256:{blob}", "total": SIZE, **done}
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}
    call.state.models["ollama"] = have(call) | {name}
    yield {"status": "success"}


def delete(call: Call) -> Reply:
    """`DELETE /api/delete`."""
    name = tagged(call.model)
    if name not in have(call):
        raise not_found(call.model)
    call.state.models["ollama"] = have(call) - {name}
    return Reply("", content_type=JSON)
