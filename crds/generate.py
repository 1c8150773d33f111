"""Writes the CustomResourceDefinition (`modelroute_operator.core.crd`) to its files.

python crds/generate.py           write crds/modelroutes.yaml and the chart's byte-identical copy
python crds/generate.py --check   exit 1 if either differs from what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from modelroute_operator.core import crd

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (ROOT / "crds/modelroutes.yaml", ROOT / "charts/litellm-proxy/files/crds/modelroutes.yaml")
HEADER = "# Written by crds/generate.py from operator/src/modelroute_operator/core/modelroute.py: edit that, then `make generate`.\n"


def rendered() -> str:
    """The file's bytes."""
    return HEADER + yaml.safe_dump(crd.crd(), sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    """Writes, or with --check compares."""
    text = rendered()
    if "--check" in sys.argv:
        stale = [str(path.relative_to(ROOT)) for path in TARGETS if not path.exists() or path.read_text() != text]
        for name in stale:
            print(f"{name} is stale: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for path in TARGETS:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
