"""Steps: one line for each, with how long it took; and one clear sentence when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

HEARTBEAT = 20.0
"""Seconds between two signs of life of a long step."""
TAIL_LINES = 25


class StepError(Exception):
    """A step that cannot be done: a sentence that says what and where, one that says what to do, the tail of the output."""

    def __init__(self, sentence: str, remedy: str, output: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.remedy = remedy
        self.output = output

    def report(self) -> str:
        """The text for the terminal: the output's tail first, so that the sentence is what one reads last."""
        tail = [f"    | {line}" for line in self.output.strip().splitlines()[-TAIL_LINES:]]
        return "\n".join([*tail, f"error: {self.sentence}", f"  do: {self.remedy}"])


class Step:
    """One running step. `outcome` replaces the text when it ends; `last_line` is shown while it lasts."""

    def __init__(self, subject: str, text: str) -> None:
        self.subject = subject
        self.text = text
        self.outcome = text
        self.last_line = ""


def line_of(seconds: float | None, subject: str, text: str) -> str:
    """A report line; `seconds` is None while the step runs."""
    duration = "   ...  " if seconds is None else f"{seconds:6.1f} s"
    return f"{duration}  {subject:<8} {text}"


@contextmanager
def step(subject: str, text: str) -> Iterator[Step]:
    """Time a step and print its line at the end; a terminal shows it from the start, a log gets signs of life."""
    terminal = sys.stdout.isatty()
    clear = "\r\033[K" if terminal else ""
    current, started, over = Step(subject, text), time.monotonic(), threading.Event()

    def show_life() -> None:
        while not over.wait(HEARTBEAT):
            seen = current.last_line.encode("ascii", "ignore").decode().strip()[:70]
            age = f"{time.monotonic() - started:.0f} s"
            print(clear + line_of(None, subject, f"{text}: {age}" + (f", {seen}" if seen else "")), flush=True)

    if terminal:
        print(line_of(None, subject, text), end="", flush=True)
    life = threading.Thread(target=show_life, daemon=True)
    life.start()
    try:
        yield current
    except BaseException:
        current.outcome = f"{text}: FAILED"
        raise
    finally:
        over.set()
        life.join()
        print(clear + line_of(time.monotonic() - started, subject, current.outcome), flush=True)


def run(
    current: Step,
    *command: str | Path,
    remedy: str,
    timeout: float = 1800,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command inside a step and return its output (stdout and stderr together).

    Raises:
        StepError: it exited with another status than 0 or took longer than `timeout` seconds.
    """
    words = [str(word) for word in command]
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that a timeout or Ctrl-C ends the compilers below it too
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout, end)
    timer.start()
    lines: deque[str] = deque(maxlen=2000)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            current.last_line = line
        status = process.wait()
    except BaseException:
        end()
        raise
    finally:
        timer.cancel()
    output = "".join(lines)
    if status != 0:
        ended = f"did not end within {timeout:.0f} s" if late.is_set() else f"exited with status {status}"
        raise StepError(f"{current.text}: `{' '.join(words)[:160]}` {ended}", remedy, output)
    return output


def attempt(*command: str | Path, timeout: float = 30, env: Mapping[str, str] | None = None) -> tuple[bool, str]:
    """Run a short command whose failure is an answer: (it succeeded, its stdout or else its stderr, stripped)."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {timeout:.0f} s"
    except OSError as error:
        return False, str(error)
    return done.returncode == 0, (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip()


def pipe(current: Step, producer: list[str], consumer: list[str], *, remedy: str, into: Path | None = None) -> None:
    """Run `producer | consumer [> into]`.

    Raises:
        StepError: one of the two failed.
    """
    target = into.open("wb") if into else None
    try:
        with (
            subprocess.Popen(producer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first,
            subprocess.Popen(consumer, stdin=first.stdout, stdout=target or subprocess.PIPE, stderr=subprocess.PIPE) as second,
        ):
            assert first.stdout is not None
            first.stdout.close()  # so that the producer notices when the consumer dies
            said, complained = second.communicate()
            assert first.stderr is not None
            output = first.stderr.read() + complained + (said or b"")
    finally:
        if target:
            target.close()
    if first.returncode or second.returncode:
        pair = f"{' '.join(producer)} | {' '.join(consumer)}"
        raise StepError(f"{current.text}: `{pair[:160]}` failed", remedy, output.decode(errors="replace"))


def until(deadline: float, condition: Callable[[], bool], interval: float = 0.2) -> bool:
    """Wait until `condition` holds, at most `deadline` seconds; False when it never did."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(interval)
    return True
