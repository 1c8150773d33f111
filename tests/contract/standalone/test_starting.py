"""What cannot start says why in one sentence; what is built is whole; `make run ONCE=1` ends with 0 only when every question was answered."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import ask
import pytest
import run_guide
from contract.standalone.served import KEY, MODELROUTE
from modelroute_operator.edges import cli

ROOT = Path(__file__).parents[3]


def serve(*arguments: str | Path, key: str = KEY) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "LITELLM_MASTER_KEY"} | ({"LITELLM_MASTER_KEY": key} if key else {})
    return subprocess.run([MODELROUTE, "serve", *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a refusal."""
    assert done.returncode == 2
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    return sentence.removeprefix("modelroute serve: ")


def test_missing_folder_is_said(tmp_path: Path) -> None:
    assert refused(serve(tmp_path / "none")) == f"{tmp_path}/none does not exist: give a directory of ModelRoute manifests"


def test_missing_master_key_is_said(tmp_path: Path) -> None:
    assert refused(serve(tmp_path, key="")).startswith("set LITELLM_MASTER_KEY (any text that starts with sk-)")


def test_missing_env_file_is_said(tmp_path: Path) -> None:
    assert refused(serve(tmp_path, "--env-file", tmp_path / "none")).startswith(f"{tmp_path}/none cannot be read: ")


def test_port_that_is_taken_is_said_and_no_other_is_chosen_silently(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = refused(serve(tmp_path, "--port", str(port)))
    assert sentence == f"127.0.0.1:{port} cannot be used (Address already in use): end what listens there, or choose another with --port"


@pytest.mark.parametrize("lacking", ["celpy", "jsonschema"])
def test_installation_without_the_extra_says_which_one_it_takes(tmp_path: Path, lacking: str) -> None:
    code = f"import sys; sys.modules[{lacking!r}] = None; sys.argv = ['modelroute', 'serve', {str(tmp_path)!r}]; from modelroute_operator.edges import cli; sys.exit(cli.main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert refused(done) == cli.MISSING_STANDALONE.removeprefix("modelroute serve: ")


def test_env_file_is_read_as_kubectl_reads_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# comment\n\nPLAIN=a=b\n QUOTED='text' \n")
    assert cli._env_file(file) == {"PLAIN": "a=b", "QUOTED": "text"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([ROOT / ".uv/bin/uv", "build", "-q", "--wheel", "--out-dir", out, ROOT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


PACKED = {
    "modelroute_operator/data/chart/values.yaml": "charts/litellm-proxy/values.yaml",
    "modelroute_operator/data/chart/files/hot_reload.py": "charts/litellm-proxy/files/hot_reload.py",
    "modelroute_operator/data/cost_map.json": "operator/src/modelroute_operator/data/cost_map.json",
}


@pytest.mark.parametrize("name", PACKED)
def test_wheel_has_what_the_code_reads(wheel: Path, name: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(name) == (ROOT / PACKED[name]).read_bytes()


def test_installed_code_reads_its_own_copy_of_the_chart(wheel: Path) -> None:
    """A wheel can be imported from as it is; a file that is not beside the code would be looked for in a checkout."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "installed")
    code = "from modelroute_operator.edges import settings, standalone; print(standalone.chart_file('values.yaml'), bool(settings.cost_map()))"
    environment = os.environ | {"PYTHONPATH": str(wheel.parent / "installed")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=wheel.parent, timeout=60, check=True)
    assert done.stdout.split() == [str(wheel.parent / "installed/modelroute_operator/data/chart/values.yaml"), "True"]


# -- make run ONCE=1


def asked(problem: str = "") -> ask.Asked:
    return ask.Asked(question=ask.QUESTIONS[0], answer="" if problem else "Paris", problem=problem)


@pytest.mark.parametrize(("answers", "status"), [([asked(), asked()], 0), ([asked(), asked("HTTP 500: no"), asked()], 1)], ids=["all answered", "one failed"])
async def test_make_run_ends_with_0_only_when_every_question_was_answered(
    answers: list[ask.Asked], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    started: list[asyncio.subprocess.Process] = []

    async def sleeper(*_: object) -> asyncio.subprocess.Process:
        started.append(await run_guide.start("sleep", "60"))
        return started[-1]

    async def simulator() -> tuple[Any, str]:
        return await sleeper(), "http://127.0.0.1:1"

    monkeypatch.setattr(run_guide, "serve", sleeper)
    monkeypatch.setattr(run_guide, "simulator", simulator)
    monkeypatch.setattr(run_guide, "WORK", tmp_path)
    monkeypatch.setattr(run_guide, "PORT", 1)
    monkeypatch.setattr(ask, "everything", lambda *_: iter(answers))
    monkeypatch.setenv("ONCE", "1")
    assert await run_guide.guide() == status
    assert ("All 2 questions answered." in capsys.readouterr().out) is (status == 0)
    assert [process.returncode is not None for process in started] == [True, True], "both children are ended"


async def test_make_run_says_that_its_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(run_guide, "PORT", taken.getsockname()[1])
        with pytest.raises(SystemExit, match=r"port \d+ is taken: .*make run PORT=4001"):
            await run_guide.guide()


async def test_make_run_shows_why_litellm_did_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`modelroute serve` refuses (here: it does not know the folder), and so does `make run`, with the log's last lines."""
    monkeypatch.setattr(run_guide, "WORK", tmp_path)
    monkeypatch.setattr(run_guide, "ROOT", tmp_path)
    (tmp_path / "litellm.log").write_text("the reason\n")
    with pytest.raises(SystemExit, match="LiteLLM did not start"):
        await run_guide.serve({})
