"""Puts the operator together and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from typing import Any

import kopf

from modelroute_operator.core.ollama import bytes_of
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Release
from modelroute_operator.edges import handlers, settings, telemetry
from modelroute_operator.edges.api import FAILURES, Json, cause, connect
from modelroute_operator.edges.cluster import Cluster
from modelroute_operator.edges.ollama import OllamaServers
from modelroute_operator.edges.proxies import Proxies
from modelroute_operator.edges.reconciler import Reconciler
from modelroute_operator.edges.reporter import Reporter
from modelroute_operator.edges.settings import Settings
from modelroute_operator.edges.world import World

logger = logging.getLogger("modelroute")
HEALTH = "http://0.0.0.0:8080/healthz"
RETRY_SECONDS = 2.0
RESYNC_SECONDS = (30.0, 600.0)
"""Lists are compared with what the watches told: soon after the start (an object may go between two lists), then rarely."""


async def operate(config: Settings) -> None:
    """Runs one release's operator until SIGTERM or SIGINT, or until one of its parts fails."""
    telemetry.set_up(config.log_level, config.log_format)
    api = await connect()
    try:
        await _operate(config, Cluster(api, config))
    finally:
        await api.close()


async def _operate(config: Settings, cluster: Cluster) -> None:
    world = World(f"{config.namespace}/{config.release}")
    token, pods = await _begin(world, cluster)
    proxies, ollama = Proxies(token, world.ring), _ollama(config, world)

    def saw_pod(body: Mapping[str, Any], deleted: bool) -> None:
        component = body["metadata"]["labels"]["app.kubernetes.io/component"]
        if component == "proxy":
            proxies.saw_pod(body, deleted=deleted)
        elif ollama:
            ollama.saw_pod(body, deleted=deleted)

    for pod in pods:
        saw_pod(pod, deleted=False)
    if ollama:
        await ollama.heard()
    release = Release(
        name=config.release,
        namespace=config.namespace,
        allowed_namespaces=config.allowed_namespaces,
        route_selector=config.route_selector,
        ollama_api_base=config.ollama_api_base,
        digest_key=token,
    )
    reconciler = Reconciler(world, cluster, proxies, Reporter(world, cluster), release, settings.cost_map(), ollama)
    scope: dict[str, Any] = {"clusterwide": True} if config.everywhere else {"namespaces": list(config.namespaces)}
    stop = asyncio.Event()
    # kopf asks the system for a user name otherwise, and an arbitrary uid has none.
    common: dict[str, Any] = {"stop_flag": stop, "identity": release.id}
    of_users = kopf.operator(registry=handlers.of_users(world), settings=handlers.settings_of_users(), liveness_endpoint=HEALTH, **common, **scope)
    own: dict[str, Any] = {"namespaces": [config.namespace]}
    of_release = kopf.operator(registry=handlers.of_release(world, cluster, saw_pod), settings=handlers.settings_of_release(cluster), **common, **own)
    world.touch()
    parts = {asyncio.create_task(part) for part in (of_users, of_release, reconciler.run(), _resync(world, cluster))}
    await asyncio.sleep(0)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    done, pending = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    await proxies.close()
    if ollama:
        await ollama.close()
    for task in done:
        task.result()


def _ollama(config: Settings, world: World) -> OllamaServers | None:
    """The chart's own Ollama, where it has one."""
    if not config.ollama_service:
        return None
    return OllamaServers(config.ollama_service, world.touch, insecure=config.ollama_insecure_registries, capacity=bytes_of(config.ollama_storage))


async def _begin(world: World, cluster: Cluster) -> tuple[Sealed, list[Json]]:
    """Master key, and all that exists now, pods too: a restart must not look like a change. Tried until the API server answers."""
    said = ""
    while True:
        try:
            token = await cluster.ensure_master_key()
            await cluster.adopt_owner()
            world.config_maps, world.credentials = await cluster.managed()
            async for body in cluster.routes():
                world.saw_route(body)
            pods = await cluster.pods()
        except FAILURES as error:
            sentence = f"cannot start yet: {cause(error)}; tried again every {RETRY_SECONDS:.0f} s"
            if sentence != said:
                logger.error("%s", sentence)
                said = sentence
            await asyncio.sleep(RETRY_SECONDS)
        else:
            logger.info("release %s: %d ModelRoutes found", cluster.settings.release, len(world.routes))
            return token, pods


async def _resync(world: World, cluster: Cluster) -> None:
    pause, then = RESYNC_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = then
        known = set(world.routes)
        try:
            listed = {f"{body['metadata']['namespace']}/{body['metadata']['name']}" async for body in cluster.routes()}
        except FAILURES as error:
            logger.warning("could not list the ModelRoutes: %s", cause(error))
            continue
        for key in known - listed:
            namespace, name = key.split("/", 1)
            world.saw_route({"metadata": {"namespace": namespace, "name": name}}, deleted=True)
