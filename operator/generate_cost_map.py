"""Writes `data/cost_map.json`: the part of LiteLLM's cost map that the operator needs, so that its image does not carry LiteLLM.

python operator/generate_cost_map.py [--check]      needs LiteLLM installed (the version that the tests pin)
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before the import, which would fetch it

import litellm
from litellm.types.utils import LlmProviders

TARGET = Path(__file__).parent / "src/modelroute_operator/data/cost_map.json"


def rendered() -> str:
    """One model a line, sorted: a new LiteLLM makes a readable diff."""
    lines = []
    for name, entry in sorted(litellm.model_cost.items()):
        if name == "sample_spec" or not entry.get("mode"):
            continue
        facts = {"mode": entry["mode"], "functionCalling": entry.get("supports_function_calling")}
        lines.append(f"  {json.dumps(name)}: {json.dumps({k: v for k, v in facts.items() if v is not None}, separators=(',', ':'))}")
    providers = json.dumps(sorted(p.value for p in LlmProviders))
    models = ",\n".join(lines)
    return f'{{"litellm": "{version("litellm")}",\n "providers": {providers},\n "models": {{\n{models}\n}}}}\n'


def main() -> int:
    """Writes, or with --check compares."""
    if "--check" not in sys.argv:
        TARGET.write_text(rendered())
    elif not TARGET.exists() or TARGET.read_text() != rendered():
        print(f"{TARGET.name} is stale: run `make generate`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
