"""Routes come from the API server: watched, complete, and kept when it is away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from contract.plugin.api_server import ApiServer
from contract.plugin.provider import AZURE_KEY, CREDENTIALS
from contract.plugin.world import Configuration, Directory, Proxy, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.plugin.provider import Simulator


@dataclass
class Cluster:
    """A proxy in a pod, the API server of its cluster, and how the proxy was while it might not read from that."""

    proxy: Proxy
    api: ApiServer
    at_boot: dict[str, Any]
    provider: Simulator

    def serve(self, *routes: dict[str, Any], credentials: dict[str, str] | None = None, shards: int = 1) -> dict[str, Any]:
        """As Proxy.serve, through the API server."""
        credentials = CREDENTIALS if credentials is None else credentials
        configuration = Configuration.of(list(routes), credentials, shards)
        self.api.write(configuration, credentials)
        return self.proxy.confirmed(configuration.digest)


@pytest.fixture(scope="module")
def booted(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    api = ApiServer(tmp_path_factory.mktemp("account"))
    directory = Directory(path=tmp_path_factory.mktemp("pod"))
    directory.write(Configuration.of([provider.route("mounted")], CREDENTIALS), CREDENTIALS)
    proxy = Proxy(generation="1.108", directory=directory, simulator=provider, environment=api.environment())
    try:
        provider.reset()
        proxy.wait_until_ready()
        eventually(lambda: proxy.status()["message"])
        at_boot = {"status": proxy.status(), "answer": proxy.answer("mounted")}
        api.write(Configuration.of([provider.route("mounted")], CREDENTIALS), CREDENTIALS)
        api.forbidden = False
        eventually(lambda: proxy.status()["source"] == "watch", 30)
        yield Cluster(proxy, api, at_boot, provider)
    finally:
        proxy.stop()
        api.stop()


@pytest.fixture
def cluster(booted: Cluster, sim: Simulator) -> Iterator[Cluster]:
    yield booted
    booted.api.down = False
    booted.api.held.clear()
    booted.api.stale.clear()


def test_mounted_files_are_served_while_the_api_server_may_not_be_read(cluster: Cluster) -> None:
    status = cluster.at_boot["status"]
    assert status["source"] == "files"
    assert "403" in status["message"]
    assert "Role must allow get and watch" in status["message"]
    assert cluster.at_boot["answer"] == "azure mounted says: Hello"
    assert "not in the credentials Secret" not in cluster.proxy.log()  # nor was anything lost on the way to the watch


def test_change_is_served_and_files_no_longer_matter(cluster: Cluster) -> None:
    assert cluster.serve(cluster.provider.route("watched", "one"))["source"] == "watch"
    eventually(lambda: cluster.proxy.status()["message"] == "")
    assert cluster.proxy.answer("watched") == "azure one says: Hello"
    assert cluster.proxy.chat("mounted").status_code == 404
    cluster.proxy.directory.replace("routes/index.json", "{}")
    cluster.serve(cluster.provider.route("watched", "two"))
    assert cluster.proxy.answer("watched") == "azure two says: Hello"


def test_only_the_shard_that_changed_is_read(cluster: Cluster) -> None:
    routes = [cluster.provider.route(f"spread-{n}") for n in range(24)]
    cluster.serve(*routes, shards=6)
    cluster.api.reads.clear()
    routes[5] = cluster.provider.route("spread-5", "changed")
    cluster.serve(*routes, shards=6)
    assert len(cluster.api.reads) == 1
    assert cluster.proxy.answer("spread-5") == "azure changed says: Hello"


def test_single_shard_comes_with_the_index_and_needs_no_second_read(cluster: Cluster) -> None:
    cluster.serve(cluster.provider.route("near", "one"))
    cluster.api.reads.clear()
    cluster.serve(cluster.provider.route("near", "two"))
    assert cluster.api.reads == []


def test_new_route_and_its_key_are_served_together_even_if_the_secret_s_watch_is_late(cluster: Cluster) -> None:
    cluster.api.held.add("secrets")
    fresh = cluster.provider.route("fresh", credentials={"api_key": "ai.fresh.api_key"})
    status = cluster.serve(fresh, credentials=CREDENTIALS | {"ai.fresh.api_key": AZURE_KEY})
    assert status["refused"] == {}
    assert cluster.proxy.answer("fresh") == "azure fresh says: Hello"


def test_rotation_is_served_before_the_index_follows(cluster: Cluster) -> None:
    cluster.serve(cluster.provider.route("rotated"))
    cluster.provider.keys("azure", old=AZURE_KEY, new="9" * 32)
    cluster.proxy.answer("rotated")
    cluster.api.write_secret(CREDENTIALS | {"ai.azure.api_key": "9" * 32})
    eventually(lambda: cluster.proxy.answer("rotated") and cluster.provider.requests()[-1]["keyName"] == "new")


def test_nothing_is_missed_when_connections_are_cut(cluster: Cluster) -> None:
    for n in range(4):
        cluster.api.cut()
        cluster.serve(cluster.provider.route("cut", f"after-{n}"))
        assert cluster.proxy.answer("cut") == f"azure after-{n} says: Hello"
    eventually(lambda: cluster.proxy.status()["message"] == "")


def test_nothing_is_missed_when_the_version_to_go_on_from_is_gone(cluster: Cluster) -> None:
    cluster.serve(cluster.provider.route("gone", "before"))
    cluster.api.down = True
    cluster.api.cut()
    after = Configuration.of([cluster.provider.route("gone", "after")], CREDENTIALS)
    cluster.api.write(after, CREDENTIALS)
    cluster.api.compact()
    cluster.api.down = False
    cluster.proxy.confirmed(after.digest)
    assert cluster.proxy.answer("gone") == "azure after says: Hello"


def test_watch_goes_on_from_the_last_bookmark(cluster: Cluster) -> None:
    cluster.serve(cluster.provider.route("marked", "one"))
    eventually(lambda: cluster.api.watchers == 2)
    cluster.api.bookmark()
    cluster.serve(cluster.provider.route("marked", "two"))
    cluster.api.bookmark()
    cluster.api.compact()
    cluster.api.watches.clear()
    cluster.api.cut()
    eventually(lambda: len(cluster.api.watches) >= 2)
    assert all(watch["resourceVersion"] for watch in cluster.api.watches)
    cluster.serve(cluster.provider.route("marked", "three"))


def test_api_server_away_is_told_and_the_configuration_stays(cluster: Cluster) -> None:
    cluster.serve(cluster.provider.route("kept"))
    cluster.api.down = True
    cluster.api.cut()
    status = eventually(lambda: (s := cluster.proxy.status()) and "503" in s["message"] and s)
    assert status["source"] == "watch"
    assert cluster.proxy.answer("kept") == "azure kept says: Hello"
    assert cluster.proxy.ready().status_code == 200
    cluster.api.down = False
    cluster.serve(cluster.provider.route("kept", "again"))
    eventually(lambda: cluster.proxy.status()["message"] == "")


def test_rotated_service_account_token_is_used(cluster: Cluster) -> None:
    cluster.api.token = "second-token"
    (cluster.api.account / "token").write_text("second-token\n")
    cluster.api.cut()
    cluster.serve(cluster.provider.route("trusted"))


def test_shard_that_is_behind_the_index_is_read_again(cluster: Cluster) -> None:
    routes = [cluster.provider.route(f"behind-{n}") for n in range(9)]
    cluster.serve(*routes, shards=3)
    cluster.api.stale.update({f"litellm-routes-{n:02}": 2 for n in range(3)})
    changed = [cluster.provider.route(f"behind-{n}", "changed") for n in range(9)]
    cluster.serve(*changed, shards=3)
    assert cluster.proxy.answer("behind-4") == "azure changed says: Hello"


def test_burst_of_changes_ends_with_the_last(cluster: Cluster) -> None:
    for n in range(60):
        last = Configuration.of([cluster.provider.route("bursting", f"n-{n}")], CREDENTIALS)
        cluster.api.write(last, CREDENTIALS)
    cluster.proxy.confirmed(last.digest)
    assert cluster.proxy.answer("bursting") == "azure n-59 says: Hello"


def test_large_index_comes_through_in_one_piece(cluster: Cluster) -> None:
    routes = [cluster.provider.route(f"large-{n}", params={"model": f"azure/{'x' * 900}-{n}"}) for n in range(400)]
    assert cluster.serve(*routes)["routes"] == 400


def test_proxy_that_is_told_to_stop_answers_who_waits_for_news_and_ends(cluster: Cluster) -> None:
    """The operator's long poll would hold up every rollout for as long as it lasts. The last test: its proxy is gone after it."""

    def without_news() -> int | None:
        version: int = cluster.proxy.status()["version"]
        return version if cluster.proxy.status(version, 0.3)["version"] == version else None

    version = eventually(without_news)  # the last test's news may still be coming
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(cluster.proxy.status, version, 55)
        eventually(waiting.running)
        cluster.proxy.process.terminate()
        assert waiting.result()["version"] == version
        assert cluster.proxy.process.wait(30) is not None
