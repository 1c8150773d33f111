"""From an object of the API, as JSON, to a `Route`. What cannot be read becomes a sentence, not an exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from modelroute_operator.core.modelroute import FINALIZER, ModelRouteSpec
from modelroute_operator.core.snapshot import Route


def route(body: Mapping[str, Any]) -> Route:
    """Reads one ModelRoute object."""
    meta = body.get("metadata", {})
    spec, unreadable = None, ""
    try:
        spec = ModelRouteSpec.model_validate(body.get("spec") or {})
    except ValidationError as error:
        unreadable = sentence(error)
    return Route(
        namespace=meta.get("namespace", "default"),
        name=meta["name"],
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 1),
        created=meta.get("creationTimestamp", ""),
        spec=spec,
        unreadable=unreadable,
        labels=dict(meta.get("labels") or {}),
        annotations=dict(meta.get("annotations") or {}),
        deleting=bool(meta.get("deletionTimestamp")),
        held=FINALIZER in (meta.get("finalizers") or ()),
        claimed_by=(body.get("status") or {}).get("proxy", ""),
    )


def sentence(error: ValidationError) -> str:
    """Gives "spec.backends[0].weight: Input should be greater than or equal to 1; …"."""
    parts = []
    details = error.errors(include_url=False, include_input=False)
    for detail in details:
        if detail["type"] == "too_short" and any(other["loc"][: len(detail["loc"])] == detail["loc"] for other in details if other is not detail):
            continue  # A list whose items are wrong is said to be short of them too.
        where = "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in detail["loc"])
        parts.append(f"{where}: {detail['msg']}")
    return "; ".join(parts)
