"""The decisions of tests/kind: who owns which cluster, what is rebuilt when, what a step says. No engine is needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kind.kind_cluster import checkout, cluster, engine, node_image, steps, tools

HERE, THERE = Path("/a/checkout"), Path("/another/checkout")


@pytest.mark.parametrize(
    ("owners", "existing", "name"),
    [
        pytest.param({}, [], "modelroute", id="the first checkout gets the plain name"),
        pytest.param({"modelroute": HERE}, ["modelroute"], "modelroute", id="and keeps it"),
        pytest.param({"modelroute": THERE}, ["modelroute"], "modelroute-929867", id="the second gets one of its own"),
        pytest.param({"modelroute": THERE}, [], "modelroute-929867", id="also while the first one's cluster is down"),
        pytest.param({"modelroute-929867": HERE}, [], "modelroute-929867", id="and keeps it when the plain name is free"),
        pytest.param({}, ["modelroute"], "modelroute-929867", id="a stranger's cluster is left alone"),
    ],
)
def test_each_checkout_has_one_cluster(owners: dict[str, Path], existing: list[str], name: str) -> None:
    assert checkout.choose_name(HERE, owners, existing) == name


def test_ownership_is_recorded_and_ends_with_the_checkout(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    (alive / "tests/kind").mkdir(parents=True)
    records = tmp_path / "records"
    checkout.record_owner("modelroute", alive, records)
    checkout.record_owner("modelroute-123abc", tmp_path / "deleted", records)
    assert checkout.owners(records) == {"modelroute": alive, "modelroute-123abc": tmp_path / "deleted"}
    assert checkout.abandoned(checkout.owners(records)) == ["modelroute-123abc"]
    checkout.forget_owner("modelroute-123abc", records)
    assert list(checkout.owners(records)) == ["modelroute"]


def test_a_kubeconfig_names_its_cluster(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("kind: Config\ncurrent-context: kind-modelroute-929867\nusers: []\n")
    assert checkout.cluster_in(tmp_path / "config") == "modelroute-929867"
    assert checkout.cluster_in(tmp_path / "missing") is None


def test_a_digest_changes_with_names_and_contents_only(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_text("1")
    (tmp_path / "notes").write_text("1")
    first = checkout.digest_files(tmp_path, ["*.go"])
    os.utime(tmp_path / "a.go", (0, 0))
    (tmp_path / "notes").write_text("2")
    assert checkout.digest_files(tmp_path, ["*.go"]) == first
    (tmp_path / "a.go").write_text("2")
    changed = checkout.digest_files(tmp_path, ["*.go"])
    (tmp_path / "a.go").rename(tmp_path / "b.go")
    assert len({first, changed, checkout.digest_files(tmp_path, ["*.go"])}) == 3
    assert checkout.digest("ab", "c") != checkout.digest("a", "bc")


def test_a_step_says_what_it_did_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with steps.step("engine", "start dockerd") as current:
        current.outcome = "started dockerd (pid 1)"
    assert capsys.readouterr().out == "   0.0 s  engine   started dockerd (pid 1)\n"


def test_a_long_step_shows_that_it_is_alive(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "HEARTBEAT", 0.05)
    with steps.step("go", "compile") as current:
        steps.run(current, "sh", "-c", "echo k8s.io/api; sleep 0.5", remedy="")
    assert "   ...    go       compile: 0 s, k8s.io/api\n" in capsys.readouterr().out


@pytest.mark.parametrize(("timeout", "ended"), [(60, "exited with status 3"), (0.2, "did not end within 0 s")])
def test_a_failed_step_is_one_sentence_with_the_end_of_the_output(timeout: float, ended: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("sh", "-c", "seq 100; sleep 0.4; exit 3")
    with pytest.raises(steps.StepError) as caught, steps.step("node", "build it") as current:
        steps.run(current, *command, remedy="look at it", timeout=timeout)
    report = caught.value.report().splitlines()
    assert report[-3:] == [
        "    | 100",
        f"error: build it: `sh -c seq 100; sleep 0.4; exit 3` {ended}",
        "  do: look at it",
    ]
    assert len(report) == steps.TAIL_LINES + 2
    assert capsys.readouterr().out.endswith("build it: FAILED\n")


@pytest.mark.parametrize(("bounding", "lacks"), [("000001fffeffffff", True), ("000001ffffffffff", False)])
def test_a_missing_capability_is_noticed(bounding: str, lacks: bool) -> None:
    assert engine.lacks_sys_resource(f"Name:\tpython\nCapEff:\t0\nCapBnd:\t{bounding}\n") is lacks


@pytest.mark.parametrize(
    ("said", "unfit"),
    [("go version go1.26.8 linux/amd64", False), ("go version go1.19.8 linux/amd64", True), ("", True)],
)
def test_an_old_go_is_refused(said: str, unfit: bool) -> None:
    assert tools.go_is_unfit(said) is unfit


def test_the_recipe_builds_one_kubernetes_version() -> None:
    versions = {line.split()[-1] for line in (tools.RECIPE / "go.mod").read_text().splitlines() if line.startswith("replace ")}
    assert versions == {tools.kubernetes_version().replace("v1.", "v0.")}


def test_an_image_is_loaded_when_its_name_stands_for_the_engines_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "docker", lambda *_: "sha256:id2")
    listed = "REF TYPE DIGEST\ndocker.io/modelroute/operator:0.1.0 t sha256:{}\nsha256:id1 t sha256:old\nsha256:id2 t sha256:new\n"
    assert cluster.is_loaded("modelroute/operator:0.1.0", cluster.targets(listed.format("new")))
    assert not cluster.is_loaded("modelroute/operator:0.1.0", cluster.targets(listed.format("old")))
    assert not cluster.is_loaded("ghcr.io/berriai/litellm:v1", cluster.targets(listed.format("new")))


def test_the_storage_manifest_comes_from_kind_itself(tmp_path: Path) -> None:
    source = tmp_path / "pkg/build/nodeimage/const_storage.go"
    source.parent.mkdir(parents=True)
    source.write_text('const aImage = "docker.io/a:1"\nconst defaultStorageManifest = `\nimage: ` + aImage + `\nend\n`\n')
    assert node_image.storage(tmp_path) == ("\nimage: docker.io/a:1\nend\n", ["docker.io/a:1"])
