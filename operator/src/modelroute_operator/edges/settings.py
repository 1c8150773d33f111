"""The operator's settings: what the chart puts into its environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from modelroute_operator.core.cost_map import CostMap, ModelFacts


class Settings(BaseModel):
    """One release's settings. Field `x` is read from MODELROUTE_X; an empty variable counts as unset."""

    model_config = ConfigDict(frozen=True)

    release: str
    namespace: str
    watch_namespaces: tuple[str, ...] = ()
    """Empty: the release's own; ("*",): all."""
    allowed_namespaces: tuple[str, ...] = ()
    route_selector: dict[str, str] = {}
    master_key_secret: str = ""
    master_key_existing: bool = False
    ollama_api_base: str = ""
    ollama_service: str = ""
    """The headless Service of the chart's own Ollama; empty: there is none."""
    ollama_storage: str = ""
    """Disk of each of its replicas, as a quantity."""
    ollama_insecure_registries: tuple[str, ...] = ()
    log_level: str = "info"
    log_format: str = "json"

    @property
    def everywhere(self) -> bool:
        """Are all namespaces watched?"""
        return "*" in self.watch_namespaces

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to watch, where not everywhere."""
        return self.watch_namespaces or (self.namespace,)

    @property
    def master_key(self) -> str:
        """Name of the Secret with the master key."""
        return self.master_key_secret or f"{self.release}-master-key"


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Reads the environment.

    Raises:
        ValueError: a variable is missing or malformed; pydantic's error names it.

    """
    given = {name: environ[f"MODELROUTE_{name.upper()}"] for name in Settings.model_fields if environ.get(f"MODELROUTE_{name.upper()}")}
    lists = {name: _words(given[name]) for name in ("watch_namespaces", "allowed_namespaces", "ollama_insecure_registries") if name in given}
    selector = {"route_selector": _selector(given["route_selector"])} if "route_selector" in given else {}
    return Settings.model_validate({**given, **lists, **selector})


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _selector(text: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in _words(text)]
    if any(not separator or "!" in name or " " in name.strip() for name, separator, _ in pairs):
        message = f"MODELROUTE_ROUTE_SELECTOR is {text!r}: write it as label=value,label=value"
        raise ValueError(message)
    return {name.strip(): value.lstrip("=").strip() for name, _, value in pairs}


def cost_map() -> CostMap:
    """The packaged extract of LiteLLM's cost map (`operator/generate_cost_map.py`)."""
    data = json.loads(files("modelroute_operator").joinpath("data/cost_map.json").read_text())
    models = {name: ModelFacts(mode=m["mode"], function_calling=m.get("functionCalling")) for name, m in data["models"].items()}
    return CostMap(litellm_version=data["litellm"], providers=frozenset(data["providers"]), models=models)
