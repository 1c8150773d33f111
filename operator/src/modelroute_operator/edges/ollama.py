"""The replicas of the chart's own Ollama: pulls onto and deletes from each what `core.pulls` decides, and knows what it holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from modelroute_operator.core import pulls
from modelroute_operator.core.ollama import Failure, Held, Ollama, Pull, Replica, key_of, registry_of
from modelroute_operator.core.pulls import Use
from modelroute_operator.edges.api import cause
from modelroute_operator.edges.ollama_api import FAULTS, OllamaApi

logger = logging.getLogger("modelroute.ollama")
PORT = 11434
LOOK_SECONDS = 30.0
"""How often a replica's models are listed though nothing happened: disks are lost, and people delete by hand."""
RETRY_SECONDS = 2.0
HEARD_SECONDS = 5.0
NOT_READY = "the pod is not ready"
TELL_SECONDS = 1.0
"""Progress is told no more often than this."""


@dataclass(slots=True)
class _Pod:
    """One replica: what `Replica` tells, and the tasks behind it."""

    incarnation: str
    url: str = ""
    """Empty while the pod is not ready."""
    models: dict[str, Held] | None = None
    trouble: str = ""
    pulls: dict[str, Pull] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    refreshed: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """By the key of the model; the task that looks at the replica is under the empty key."""
    look: asyncio.Event = field(default_factory=asyncio.Event)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """It was asked what it holds, and has answered or not."""

    def stop(self) -> None:
        """Ends every task; Ollama ends a pull whose caller has gone, and keeps what it has of it."""
        for task in self.tasks.values():
            task.cancel()


class OllamaServers:
    """The replicas and their models. `changed` is called when any of it moves.

    `insecure`: registries reached by plain HTTP. `capacity`: bytes of each replica's disk, if known.
    """

    def __init__(self, service: str, changed: Callable[[], None], *, insecure: tuple[str, ...] = (), capacity: int | None = None) -> None:
        """Asks nobody before a pod was seen."""
        self._service, self._changed, self._insecure, self._capacity = service, changed, frozenset(insecure), capacity
        self._pods: dict[str, _Pod] = {}
        self._uses: tuple[Use, ...] = ()
        self._wanted: dict[str, pulls.Want] = {}
        self._remembered: set[str] = set()
        self._api = OllamaApi()
        self._timer: asyncio.TimerHandle | None = None
        self._told = 0.0
        self._to_tell: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Ends everything under way."""
        for handle in (self._timer, self._to_tell):
            if handle:
                handle.cancel()
        tasks = [task for pod in self._pods.values() for task in pod.tasks.values()]
        for pod in self._pods.values():
            pod.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._api.close()

    def state(self) -> Ollama:
        """All replicas as they are now."""
        return Ollama(service=self._service, replicas=tuple(self._replica(name) for name in sorted(self._pods, key=_ordinal)))

    def saw_pod(self, body: Mapping[str, Any], *, deleted: bool = False) -> None:
        """A pod of the StatefulSet appeared, changed or went."""
        meta, status = body["metadata"], body.get("status") or {}
        name = meta["name"]
        known = self._pods.get(name)
        if deleted:
            # A pod of the same name may be there already: its predecessor's end comes late.
            if known and known.incarnation == meta.get("uid", ""):
                self._drop(name)
            return
        if known and known.incarnation != meta.get("uid", ""):
            self._drop(name)
        pod = self._pods.setdefault(name, _Pod(incarnation=meta.get("uid", ""), trouble=NOT_READY))
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()) and not meta.get("deletionTimestamp")
        address = status.get("podIP") or ""
        host = f"[{address}]" if ":" in address else address
        self._set_url(name, pod, f"http://{host}:{PORT}" if ready and address else "")

    async def heard(self) -> None:
        """Waits until every ready replica has said what it holds, but not long: a restart must not look like a change."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARD_SECONDS):
                for pod in list(self._pods.values()):
                    if pod.url:
                        await pod.heard.wait()

    def saw_server(self, name: str, url: str) -> None:
        """A replica that is no pod: for tests and tools."""
        self._set_url(name, self._pods.setdefault(name, _Pod(incarnation=name)), url)

    def want(self, uses: tuple[Use, ...]) -> None:
        """The wishes of all routes, whole."""
        if uses is self._uses or uses == self._uses:
            return
        deletable = {key_of(use.model) for use in self._uses if use.delete}
        self._uses, self._wanted = uses, pulls.wants(uses)
        named = {key_of(use.model) for use in uses}
        # What was asked for with deletionPolicy Delete and is named by no route any more: a route has changed its model.
        self._remembered = (self._remembered | deletable) - named
        self._act()

    def _set_url(self, name: str, pod: _Pod, url: str) -> None:
        if url == pod.url and "" in pod.tasks:
            return
        pod.url = url
        if url:
            if "" in pod.tasks:
                pod.tasks[""].cancel()
            # What it held it must say again: the disk may be another.
            pod.refreshed.clear()
            pod.tasks[""] = asyncio.create_task(self._watch(name, pod), name=f"look at {name}")
        else:
            pod.stop()
            pod.tasks.clear()
            pod.pulls.clear()
            pod.trouble = NOT_READY
        self._changed()

    def _drop(self, name: str) -> None:
        self._pods.pop(name).stop()
        self._changed()

    def _replica(self, name: str) -> Replica:
        pod = self._pods[name]
        return Replica(
            name=name,
            models=None if pod.models is None else dict(pod.models),
            trouble=pod.trouble,
            pulls=dict(pod.pulls),
            failures=dict(pod.failures),
            refreshed=dict(pod.refreshed),
        )

    def _act(self) -> None:
        """Does what is to be done now, and sees to it that it is called again in time."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        now = time.monotonic()
        unwanted = pulls.orphans(self._uses, self._remembered)
        actions = pulls.decide(self._wanted, unwanted, self.state(), now, self._capacity)
        for name, key in actions.cancel:
            self._pods[name].tasks[key].cancel()
        for name, key, failure in actions.refuse:
            self._pods[name].failures[key] = failure
            self._pods[name].pulls.pop(key)
            self._pods[name].tasks[key].cancel()
            logger.warning("%s: %s", self._wanted[key].model, failure.message)
        for name, key in actions.pull:
            self._start(name, key)
        for name, key in actions.delete:
            pod = self._pods[name]
            if key not in pod.tasks:
                self._run(pod, key, self._delete(name, pod, key))
        if actions.wake is not None:
            self._timer = asyncio.get_running_loop().call_later(max(actions.wake - now, 0.1), self._act)

    def _start(self, name: str, key: str) -> None:
        pod = self._pods[name]
        if key in pod.tasks:
            return
        pod.pulls[key] = Pull()
        self._run(pod, key, self._pull(name, pod, key))
        self._changed()

    def _run(self, pod: _Pod, key: str, work: Any) -> None:
        task = pod.tasks[key] = asyncio.create_task(work)

        def over(_: asyncio.Task[None]) -> None:
            if pod.tasks.get(key) is task:
                del pod.tasks[key]
                pod.pulls.pop(key, None)
                pod.look.set()
                self._changed()

        task.add_done_callback(over)

    async def _pull(self, name: str, pod: _Pod, key: str) -> None:
        want = self._wanted[key]
        logger.info("pulling %s onto %s", want.model, name)
        try:
            async for pull in self._api.pull(pod.url, want.model, insecure=registry_of(want.model) in self._insecure):
                self._progress(pod, key, pull)
                await asyncio.sleep(0)  # here it ends if that has cancelled it
            listed = await self._list(pod)
        except FAULTS as error:
            said = cause(error)
            pod.failures[key] = pulls.failed(self._replica(name), key, said, time.monotonic())
            logger.warning("%s could not be pulled onto %s: %s", want.model, name, said)
            return
        pod.failures.pop(key, None)
        pod.refreshed[key] = want.version
        pod.models = listed
        logger.info("pulled %s onto %s", want.model, name)

    def _progress(self, pod: _Pod, key: str, pull: Pull) -> None:
        before, pod.pulls[key] = pod.pulls.get(key, Pull()), pull
        if pull == before:
            return
        if pull.total != before.total:
            self._act()  # a layer was announced: does it fit?
        if self._to_tell is None:
            wait = max(self._told + TELL_SECONDS - time.monotonic(), 0)
            self._to_tell = asyncio.get_running_loop().call_later(wait, self._tell)

    def _tell(self) -> None:
        self._told, self._to_tell = time.monotonic(), None
        self._changed()

    async def _delete(self, name: str, pod: _Pod, key: str) -> None:
        try:
            await self._api.delete(pod.url, key)
            pod.models = await self._list(pod)
        except FAULTS as error:
            logger.warning("%s could not be deleted from %s: %s; it is tried again", key, name, cause(error))
            return
        if all(key not in (other.models or {}) for other in self._pods.values()):
            self._remembered.discard(key)
        logger.info("deleted %s from %s", key, name)

    async def _watch(self, name: str, pod: _Pod) -> None:
        """Lists a replica's models: at once, after every pull and deletion, and from time to time."""
        while True:
            pod.look.clear()
            models: dict[str, Held] | None = None
            try:
                models, trouble, pause = await self._list(pod), "", LOOK_SECONDS
            except FAULTS as error:
                models, trouble, pause = pod.models, f"it does not answer ({cause(error)})", RETRY_SECONDS
                if pod.trouble != trouble:
                    logger.warning("Ollama replica %s: %s; asked again every %.0f s", name, trouble, RETRY_SECONDS)
            pod.heard.set()
            if (models, trouble) != (pod.models, pod.trouble):
                pod.models, pod.trouble = models, trouble
                self._changed()
            self._act()
            # Not wait_for: before Python 3.12 that loses a cancellation that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await pod.look.wait()

    async def _list(self, pod: _Pod) -> dict[str, Held]:
        """The models on a replica, with what they can do."""
        before = pod.models or {}
        found: dict[str, Held] = {}
        for name, held in await self._api.models(pod.url):
            key, known = key_of(name), before.get(key_of(name))
            facts = known.facts if known and known.digest == held.digest else None
            if facts is None:
                facts = await self._api.facts(pod.url, name)
            found[key] = replace(held, facts=facts)
        return found


def _ordinal(name: str) -> tuple[int, str]:
    number = name.rpartition("-")[2]
    return (int(number) if number.isdigit() else 0, name)
