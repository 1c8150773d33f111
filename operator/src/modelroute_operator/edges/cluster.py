"""Reads and writes the release's own objects, the routes' statuses and their Events."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from modelroute_operator.core.modelroute import FINALIZER, GROUP, KIND, PLURAL, VERSION
from modelroute_operator.core.modelroute_status import ModelRouteStatus
from modelroute_operator.core.plan import Writes
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Route, SecretId
from modelroute_operator.core.status import Event
from modelroute_operator.edges.api import FIELD_MANAGER, MERGE_PATCH, Api, ApiError, Json
from modelroute_operator.edges.settings import Settings
from modelroute_operator.edges.world import texts

logger = logging.getLogger("modelroute.cluster")
STATUS_FIELDS = tuple(field.alias or name for name, field in ModelRouteStatus.model_fields.items())
"""A report is the whole status: what it does not say is taken away."""
RELEASE_LABEL = "modelroute.dev/release"
"""Not app.kubernetes.io/instance: Argo CD takes that for its own mark, and would prune what it did not install."""
PAGE = 500
"""Objects in one answer to a list."""
MASTER_KEYS = ("LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "MODELROUTE_STATUS_TOKEN")


class Cluster:
    """The API server as this release uses it."""

    def __init__(self, api: Api, settings: Settings) -> None:
        """`settings` names the release and its namespace."""
        self.api, self.settings = api, settings
        self._core = f"/api/v1/namespaces/{settings.namespace}"
        self._owner: list[Json] = []

    @property
    def labels(self) -> dict[str, str]:
        """What every managed object carries."""
        return {"app.kubernetes.io/managed-by": FIELD_MANAGER, RELEASE_LABEL: self.settings.release}

    @property
    def selector(self) -> str:
        """Selects the managed objects."""
        return ",".join(f"{k}={v}" for k, v in self.labels.items())

    @property
    def index_name(self) -> str:
        """Name of the index ConfigMap."""
        return f"{self.settings.release}-routes"

    @property
    def credentials_name(self) -> str:
        """Name of the Secret with the routes' credentials."""
        return f"{self.settings.release}-credentials"

    async def ensure_master_key(self) -> Sealed:
        """Makes the master key once, never twice. Returns the status token.

        Raises:
            ApiError: the user's own Secret (masterKey.existingSecret) is missing or lacks a key.

        """
        name = self.settings.master_key
        path = f"{self._core}/secrets/{name}"
        found = await self.api.get(path)
        if found is None and not self.settings.master_key_existing:
            values = {"LITELLM_MASTER_KEY": "sk-" + secrets.token_urlsafe(32), "LITELLM_SALT_KEY": "sk-" + secrets.token_urlsafe(32)}
            values["MODELROUTE_STATUS_TOKEN"] = secrets.token_urlsafe(32)
            try:
                found = await self.api.call("POST", f"{self._core}/secrets", {**self._object("Secret", name, owned=False), "stringData": values})
                logger.info("created Secret %s with the master key", name)
            except ApiError as error:
                if error.status != 409:
                    raise
                found = await self.api.get(path)
        data = texts((found or {}).get("data") or {})
        missing = [key for key in MASTER_KEYS if key not in data]
        if missing:
            state = f"has no {', '.join(missing)}" if found else "does not exist"
            raise ApiError(404, f'Secret {self.settings.namespace}/{name} {state}: add it, or let the operator make one (masterKey.existingSecret: "")')
        return data["MODELROUTE_STATUS_TOKEN"]

    async def adopt_owner(self) -> None:
        """Finds the chart's ConfigMap, which owns what the operator writes: `helm uninstall` then takes it along."""
        name = f"{self.settings.release}-config"
        if found := await self.api.get(f"{self._core}/configmaps/{name}"):
            self._owner = [{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": found["metadata"]["uid"]}]

    async def managed(self) -> tuple[dict[str, dict[str, str]], Mapping[str, Sealed] | None]:
        """The managed ConfigMaps (name → data) and credentials as stored."""
        maps = await self.api.call("GET", f"{self._core}/configmaps", labelSelector=self.selector)
        secret = await self.api.get(f"{self._core}/secrets/{self.credentials_name}")
        stored = {item["metadata"]["name"]: item.get("data") or {} for item in maps["items"]}
        return stored, None if secret is None else texts(secret.get("data") or {})

    async def routes(self) -> AsyncIterator[Json]:
        """Every ModelRoute in the watched namespaces, read page by page: all at once, 10,000 are 30 MB of JSON."""
        spaces = [""] if self.settings.everywhere else [f"/namespaces/{n}" for n in self.settings.namespaces]
        for space in spaces:
            query: dict[str, Any] = {"limit": str(PAGE)}
            while True:
                page = await self.api.call("GET", f"/apis/{GROUP}/{VERSION}{space}/{PLURAL}", seconds=120, **query)
                for body in page["items"]:
                    yield body
                if not (more := page["metadata"].get("continue")):
                    break
                query["continue"] = more

    @property
    def pod_selector(self) -> str:
        """Selects the release's proxy and Ollama pods."""
        return f"app.kubernetes.io/instance={self.settings.release},app.kubernetes.io/component in (proxy,ollama)"

    async def pods(self) -> list[Json]:
        """The release's proxy and Ollama pods, ready or not."""
        found: list[Json] = (await self.api.call("GET", f"{self._core}/pods", labelSelector=self.pod_selector))["items"]
        return found

    async def secret(self, name: SecretId) -> Json | None:
        """One Secret a route refers to."""
        return await self.api.get(f"/api/v1/namespaces/{name[0]}/secrets/{name[1]}")

    async def write(self, writes: Writes) -> None:
        """Carries the writes out, in their order."""
        if writes.credentials is not None:
            data = {key: base64.b64encode(value.reveal().encode()).decode() for key, value in sorted(writes.credentials.items())}
            body = {**self._object("Secret", self.credentials_name), "type": "Opaque", "data": data}
            await self._write_whole(f"{self._core}/secrets/{self.credentials_name}", body)
        shards, index = writes.config_maps[:-1], writes.config_maps[-1:]
        for group in (shards, index):
            await asyncio.gather(*(self._write_config_map(name, content) for name, content in group))
        for name in writes.deletions:
            await self.api.call("DELETE", f"{self._core}/configmaps/{name}")

    async def _write_config_map(self, name: str, content: Mapping[str, str]) -> None:
        await self._write_whole(f"{self._core}/configmaps/{name}", {**self._object("ConfigMap", name), "data": dict(content)})

    async def _write_whole(self, path: str, body: Json) -> None:
        """Server-side apply leaves what others added, which the proxies would read and count in the digest: that is taken out."""
        stored = await self.api.apply(path, body)
        if strays := (stored.get("data") or {}).keys() - body["data"].keys():
            await self.api.call("PATCH", path, {"data": dict.fromkeys(strays)}, content_type=MERGE_PATCH, fieldManager=FIELD_MANAGER)

    async def report(self, route: Route, status: Mapping[str, Any]) -> Json | None:
        """Writes one route's status, whole. None where the route is gone."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{route.namespace}/{PLURAL}/{route.name}/status"
        body = {"metadata": {"uid": route.uid}, "status": {**dict.fromkeys(STATUS_FIELDS), **status}}
        try:
            return await self.api.call("PATCH", path, body, content_type=MERGE_PATCH, fieldManager=FIELD_MANAGER)
        except ApiError as error:
            if error.status in {404, 409}:  # deleted, or deleted and made anew: its own event tells
                return None
            raise

    async def hold(self, route: Route, *, present: bool) -> None:
        """Puts the operator's finalizer on a route, or takes it off, whatever others write meanwhile."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{route.namespace}/{PLURAL}/{route.name}"
        while (found := await self.api.get(path)) and found["metadata"]["uid"] == route.uid:
            finalizers = found["metadata"].get("finalizers") or []
            if (FINALIZER in finalizers) == present:
                return
            wanted = [*finalizers, FINALIZER] if present else [each for each in finalizers if each != FINALIZER]
            meta = {"resourceVersion": found["metadata"]["resourceVersion"], "finalizers": wanted}
            try:
                await self.api.call("PATCH", path, {"metadata": meta}, content_type=MERGE_PATCH, fieldManager=FIELD_MANAGER)
            except ApiError as error:
                if error.status not in {404, 409}:
                    raise

    async def tell(self, route: Route, event: Event) -> None:
        """Posts one Event about a route."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{route.name[:200]}.", "namespace": route.namespace},
            "involvedObject": {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "namespace": route.namespace, "name": route.name, "uid": route.uid},
            "type": event.kind, "reason": event.reason, "message": event.message[:1024],
            "source": {"component": FIELD_MANAGER}, "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        }  # fmt: skip
        await self.api.call("POST", f"/api/v1/namespaces/{route.namespace}/events", body)

    def _object(self, kind: str, name: str, *, owned: bool = True) -> Json:
        meta: Json = {"name": name, "namespace": self.settings.namespace, "labels": self.labels}
        if owned and self._owner:
            meta["ownerReferences"] = self._owner
        return {"apiVersion": "v1", "kind": kind, "metadata": meta}
