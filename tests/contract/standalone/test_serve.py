"""A folder is served: what is saved there takes effect at once, and what is wrong there is said with file and line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.plugin.world import Simulator, eventually
from contract.standalone.served import Served, route

PROMPT_SECONDS = 3.0
"""On a busy machine; a save takes about 0.3 s."""


@pytest.fixture(scope="module")
def provider() -> Iterator[Simulator]:
    simulator = Simulator()
    simulator.keys("openai", file="key-of-the-env-file", manifest="key-of-the-manifest", rotated="key-that-was-rotated")
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def served(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(home=tmp_path_factory.mktemp("standalone"), simulator=provider)
    try:
        served.wait_until_ready()
        yield served
    finally:
        served.stop()


def test_it_starts_with_the_table_and_says_where_it_serves(served: Served) -> None:
    assert served.lines[0].split() == ["NAME", "MODEL", "MODE", "BACKENDS", "READY", "REASON"]
    assert served.lines[1].split() == ["first", "first", "chat", "1/1", "True", "Ready"]
    assert served.lines[2] == f"serving on http://localhost:{served.port}"


def test_a_secret_that_is_no_manifest_comes_from_the_env_file(served: Served, provider: Simulator) -> None:
    assert served.answer("first") == "openai gpt-4.1 says: Hello"
    assert provider.requests()[-1]["keyName"] == "file"


def test_new_manifest_is_served_and_printed_at_once(served: Served) -> None:
    since, began = len(served.lines), time.monotonic()
    served.write("new", route("new", "gpt-4.1-mini"))
    assert served.row("new", since) == ["new", "new", "chat", "1/1", "True", "Ready"]
    assert time.monotonic() - began < PROMPT_SECONDS
    assert served.answer("new") == "openai gpt-4.1-mini says: Hello"
    assert len(served.lines) == since + 1, "nothing else is said"


def test_edited_manifest_is_served_and_printed_at_once(served: Served) -> None:
    served.write("edited", route("edited", "gpt-4.1"))
    served.row("edited", 0)
    assert served.answer("edited") == "openai gpt-4.1 says: Hello"
    since = len(served.lines)
    served.write("edited", route("edited", "gpt-4.1-nano"))
    served.row("edited", since)
    assert served.answer("edited") == "openai gpt-4.1-nano says: Hello"


def test_removed_manifest_is_gone_at_once(served: Served) -> None:
    path = served.write("passing", route("passing"))
    served.row("passing", 0)
    since = len(served.lines)
    path.unlink()
    served.hears("passing is gone", since)
    assert "`passing` does not exist" in served.answer("passing")
    assert served.answer("first") == "openai gpt-4.1 says: Hello"


def test_alias_moves_with_its_line(served: Served) -> None:
    served.write("one", route("one", "gpt-4.1").replace("spec:", "spec:\n  aliases: [role]"))
    served.write("two", route("two", "gpt-4.1-mini"))
    served.row("one")
    served.row("two")
    assert served.answer("role") == "openai gpt-4.1 says: Hello"
    since = len(served.lines)
    served.write("one", route("one", "gpt-4.1"))
    served.write("two", route("two", "gpt-4.1-mini").replace("spec:", "spec:\n  aliases: [role]"))
    served.row("one", since)
    served.row("two", since)
    assert served.answer("role") == "openai gpt-4.1-mini says: Hello"


BAD = {
    "a typo in a field": ("share: 2", "{file}:8: ModelRoute bad: spec.backends[0]: unknown field share; known are "),
    "a number out of range": ("weight: 0", "{file}:8: ModelRoute bad: spec.backends[0].weight: 0 is less than the minimum of 1"),
    "no YAML": ("a: [1", "{file}:9: not readable as YAML: "),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_manifest_says_file_and_line_and_leaves_the_others(served: Served, what: str) -> None:
    line, sentence = BAD[what]
    since = len(served.lines)
    path = served.write("bad", route("bad").replace("      model: gpt-4.1\n", f"      {line}\n      model: gpt-4.1\n"))
    assert served.hears("bad.yaml", since).startswith(sentence.format(file=path))
    assert "`bad` does not exist" in served.answer("bad")
    assert served.answer("first") == "openai gpt-4.1 says: Hello"
    since = len(served.lines)
    served.write("bad", route("bad"))
    assert served.row("bad", since)[-2:] == ["True", "Ready"]
    path.unlink()
    served.hears("bad is gone", since)


def test_route_that_is_saved_with_a_mistake_stays_served_as_it_was(served: Served) -> None:
    path = served.write("steady", route("steady", "gpt-4.1"))
    served.row("steady", 0)
    since = len(served.lines)
    served.write("steady", route("steady", "gpt-4.1-mini").replace("provider", "providr"))
    served.hears(f"{path}: until that is mended, what the file held before stays served", since)
    assert served.answer("steady") == "openai gpt-4.1 says: Hello"
    assert not served.said("steady is gone")
    since = len(served.lines)
    served.write("steady", route("steady", "gpt-4.1-mini"))
    served.row("steady", since)
    assert served.answer("steady") == "openai gpt-4.1-mini says: Hello"


BROKEN = {
    "a Secret without the key": (
        route("broken").replace("credentialsSecretRef: {name: openai}", "apiKeySecretRef: {name: openai, key: OPENAI_KEY}"), "SecretKeyNotFound", "OPENAI_KEY",
    ),
    "an unknown provider": (route("broken").replace("provider: openai", "provider: opanai"), "UnknownProvider", "opanai"),
    "a name that another has": (route("broken").replace("spec:", "spec:\n  modelName: first"), "ModelNameConflict", "first"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_broken_route_says_reason_and_message_with_file_and_line(served: Served, what: str) -> None:
    text, reason, word = BROKEN[what]
    since = len(served.lines)
    path = served.write("q-broken", text)
    said = served.hears("ModelRoute broken", since)
    assert said.startswith(f"{path}:1: ModelRoute broken: {reason}: ")
    assert word in said
    assert served.row("broken", since)[-2:] == ["False", reason]
    assert len(served.said("ModelRoute broken", since)) == 1, "one thing is wrong, one sentence says so"
    assert served.answer("first") == "openai gpt-4.1 says: Hello"
    path.unlink()
    served.hears("broken is gone", since)


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {{name: own}}\nstringData: {{OPENAI_API_KEY: {key}, OPENAI_API_BASE: '{base}'}}\n"


def test_secret_among_the_manifests_wins_over_the_environment_and_rotates(served: Served, provider: Simulator) -> None:
    served.write("a-secret", SECRET.format(key="key-of-the-manifest", base=provider.openai))
    served.write("own", route("own", secret="own"))
    served.row("own", 0)
    served.answer("own")
    assert provider.requests()[-1]["keyName"] == "manifest"
    since = len(served.lines)
    served.write("a-secret", SECRET.format(key="key-that-was-rotated", base=provider.openai))
    assert served.hears("new value, served from now on", since) == "new value, served from now on: default.own_OPENAI_API_KEY"
    served.answer("own")
    assert provider.requests()[-1]["keyName"] == "rotated"
    assert not [line for line in served.lines if "key-" in line], "no key is printed"


def test_route_whose_secret_goes_keeps_its_last_credentials_and_says_so(served: Served, provider: Simulator) -> None:
    secret = served.write("leaving", "apiVersion: v1\nkind: Secret\nmetadata: {name: leaving}\nstringData: {key: key-of-the-manifest}\n")
    served.write("left", route("left").replace("credentialsSecretRef: {name: openai}", f"apiKeySecretRef: {{name: leaving, key: key}}\n      apiBase: {provider.openai}"))
    assert served.row("left")[-2:] == ["True", "Ready"]
    since = len(served.lines)
    secret.unlink()
    assert ": SecretKeyNotFound: " in served.hears("ModelRoute left", since)
    served.answer("left")
    assert provider.requests()[-1]["keyName"] == "manifest"


def test_only_this_machine_is_served_and_nothing_of_the_users_own_database(served: Served) -> None:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == served.port} == {"0100007F"}
    (litellm,) = children(served.process.pid)
    environment = Path(f"/proc/{litellm}/environ").read_text()
    assert "nowhere.invalid" not in environment
    assert "NUM_WORKERS" not in environment


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_term_signal_ends_litellm_too_and_leaves_no_credentials_behind(served: Served) -> None:
    (litellm,) = children(served.process.pid)
    (work,) = served.home.glob("modelroute-*")
    assert (work / "credentials").is_dir()
    served.process.terminate()
    assert served.process.wait(30) == 0
    eventually(lambda: not Path(f"/proc/{litellm}").exists())
    assert not work.exists()
    assert any(served.folder.iterdir()), "the manifests are the user's"
