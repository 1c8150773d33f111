"""The container engine: use the one that answers, else install and start one; stop only one that this tool started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from . import checkout, steps

FOLDER = checkout.CACHE / "engine"
PID_FILE = FOLDER / "pid"
LOG = FOLDER / "log"
PACKAGES = ("docker.io", "iptables", "debootstrap", "ca-certificates")
CAP_SYS_RESOURCE = 24
# Docker's legacy builder: the same everywhere, also where the buildx plugin is missing.
BUILD_ENV = {"DOCKER_BUILDKIT": "0"}


def answers(timeout: float = 10) -> bool:
    """True when an engine answers through the docker command."""
    return steps.attempt("docker", "version", "--format", "{{.Server.Version}}", timeout=timeout)[0]


def docker(*words: str, timeout: float = 60) -> str:
    """The output of a short docker command.

    Raises:
        StepError: it did not succeed.
    """
    ok, output = steps.attempt("docker", *words, timeout=timeout)
    if not ok:
        raise steps.StepError(f"`docker {' '.join(words)[:120]}` failed", f"see `docker info` and {LOG}", output)
    return output


def lacks_sys_resource(status: str) -> bool:
    """True when the capability bounding set in a /proc/PID/status text has no CAP_SYS_RESOURCE."""
    bounding = next((line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), "0")
    return not int(bounding, 16) >> CAP_SYS_RESOURCE & 1


def process_name(pid: int) -> str:
    """The command name of a process, empty when there is none (or only its zombie)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    return "" if "\nState:\tZ" in status else Path(f"/proc/{pid}/comm").read_text().strip()


def pid_in(file: Path) -> int:
    """The pid that a file holds, 0 when there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def our_pid() -> int:
    """The pid of the dockerd that this tool started, 0 when it does not run."""
    pid = pid_in(PID_FILE)
    return pid if process_name(pid) == "dockerd" else 0


def ensure(tools: Path) -> None:
    """Have an engine that answers.

    Args:
        tools: the folder with the relaxed runc.

    Raises:
        StepError: none answers and none can be started here.
    """
    if not answers():
        refuse_where_it_cannot_be_started()
        replace_half_dead()
    if not answers():
        install()
        start(tools)
        return
    with steps.step("engine", "look at the engine") as current:
        version = docker("version", "--format", "{{.Server.Version}}")
        mine = f"started by an earlier run (pid {our_pid()})" if our_pid() else "found running, used as it is"
        current.outcome = f"docker {version}, {mine}"


def refuse_where_it_cannot_be_started() -> None:
    """Say what to do where this tool may not or cannot start an engine.

    Raises:
        StepError: always, except on Debian as root with no foreign engine in the way.
    """
    if host := os.environ.get("DOCKER_HOST"):
        raise steps.StepError(f"the container engine at DOCKER_HOST={host} does not answer", "start it or unset DOCKER_HOST")
    if not Path("/etc/debian_version").exists() or os.geteuid() != 0:
        raise steps.StepError(
            "no container engine answers `docker version`",
            "start Docker (or install it); on Debian, run this as root and it does both itself",
        )
    strangers = [int(path.name) for path in Path("/proc").glob("[0-9]*") if process_name(int(path.name)) == "dockerd"]
    for pid in strangers:
        if pid != our_pid() and not steps.until(20, answers):
            raise steps.StepError(
                f"a dockerd that this tool did not start (pid {pid}) does not answer",
                f"see its log; stop it (kill {pid}) or repair it, then run this again",
            )


def replace_half_dead() -> None:
    """End our dockerd if it runs without answering, and clear what a dead one left in the way of a new one."""
    if pid := our_pid():
        with steps.step("engine", f"dockerd (pid {pid}) of an earlier run does not answer") as current:
            if steps.until(15, lambda: answers(timeout=5)):
                current.outcome = f"dockerd (pid {pid}) of an earlier run answers after all"
                return
            end(pid)
            current.outcome = f"dockerd (pid {pid}) of an earlier run did not answer: ended, to be replaced"
    elif stale := pid_in(PID_FILE):
        with steps.step("engine", f"dockerd (pid {stale}) of an earlier run is gone: to be replaced"):
            PID_FILE.unlink()
    # A pid file whose number now belongs to another program keeps dockerd, or its containerd, from starting.
    for file, name in (("/var/run/docker.pid", "dockerd"), ("/var/run/docker/containerd/containerd.pid", "containerd")):
        if (pid := pid_in(Path(file))) and process_name(pid) != name:
            Path(file).unlink(missing_ok=True)
    # dockerd uses this socket whenever the file exists, even when nobody listens.
    system_containerd = Path("/run/containerd/containerd.sock")
    with socket.socket(socket.AF_UNIX) as probe, suppress(FileNotFoundError):
        try:
            probe.connect(str(system_containerd))
        except ConnectionRefusedError:
            system_containerd.unlink()


def install() -> None:
    """Install the engine's Debian packages, and debootstrap, where one of their programs is missing."""
    if all(shutil.which(program) for program in ("dockerd", "docker", "containerd", "iptables", "debootstrap")):
        return
    with steps.step("engine", f"install {' '.join(PACKAGES)}") as current:
        remedy = "check the package sources (apt-get update), or install Docker yourself"
        wait = "DPkg::Lock::Timeout=300"
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        steps.run(current, "apt-get", "-o", wait, "update", remedy=remedy, env=quiet)
        command = ("apt-get", "-o", wait, "install", "-y", "--no-install-recommends", *PACKAGES)
        steps.run(current, *command, remedy=remedy, env=quiet)


def start(tools: Path) -> None:
    """Start the engine: through systemd where it runs, else as a process of its own session."""
    if Path("/run/systemd/system").is_dir():
        with steps.step("engine", "start Docker through systemd") as current:
            steps.run(current, "systemctl", "start", "docker", remedy="see `journalctl -u docker`")
        return
    with steps.step("engine", "start dockerd") as current:
        command = ["dockerd", "--exec-opt", "native.cgroupdriver=cgroupfs"]
        restricted = lacks_sys_resource(Path("/proc/self/status").read_text())
        if restricted:
            command += ["--add-runtime", f"relaxed={tools / 'runc'}", "--default-runtime", "relaxed"]
        FOLDER.mkdir(parents=True, exist_ok=True)
        with LOG.open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
        PID_FILE.write_text(f"{process.pid}\n")
        steps.until(60, lambda: process.poll() is not None or answers())
        if process.poll() is not None or not answers():
            end(process.pid)
            tail = LOG.read_text(errors="replace")
            raise steps.StepError("dockerd does not start", f"read its log {LOG}; another engine may be in the way", tail)
        note = ", without CAP_SYS_RESOURCE" if restricted else ""
        current.outcome = f"started dockerd (pid {process.pid}{note}; log {LOG})"


def end(pid: int) -> None:
    """End a dockerd of ours: politely, then at once."""
    for sign, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.kill(pid, sign)
        if steps.until(patience, lambda: process_name(pid) != "dockerd"):
            break
    PID_FILE.unlink(missing_ok=True)


def stop_if_idle() -> None:
    """Stop the engine if this tool started it and no container of anyone runs in it."""
    pid = our_pid()
    if not pid:
        return
    with steps.step("engine", f"stop dockerd (pid {pid})") as current:
        if running := docker("ps", "--format", "{{.Names}}").split():
            current.outcome = f"dockerd (pid {pid}) stays: {', '.join(running)} still run in it"
        else:
            end(pid)
            current.outcome = f"stopped dockerd (pid {pid})"
