"""Every golden folder gives its output, word for word."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden import harness

KNOWN = {"input.yaml", "output.yaml", "before.yaml", "world.yaml"}
folders = pytest.mark.parametrize("folder", harness.FOLDERS, ids=lambda folder: folder.name)


@folders
def test_input_gives_the_output(folder: Path) -> None:
    _, outcome = harness.run(harness.case_of(folder))
    text, golden = harness.text(outcome), folder / "output.yaml"
    if harness.wants_update():
        golden.write_text(text)
    assert golden.exists(), f"{golden} is missing: UPDATE_GOLDEN=1 writes it"
    assert text == golden.read_text(), f"{folder.name} differs: look at the difference, then UPDATE_GOLDEN=1 accepts it"


@folders
def test_folder_is_whole_and_holds_nothing_else(folder: Path) -> None:
    present = {path.name for path in folder.iterdir()}
    assert present <= KNOWN, f"nobody reads {sorted(present - KNOWN)}"
    assert {"input.yaml", "output.yaml"} <= present


def test_no_golden_lies_beside_the_folders() -> None:
    assert {path.name for path in harness.HERE.iterdir() if path.is_file()} == {"README.md", "harness.py", "test_golden.py", "test_invariants.py"}
    assert len(harness.FOLDERS) >= 25


def test_ci_never_accepts_a_golden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPDATE_GOLDEN", "1")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RuntimeError, match="CI compares"):
        harness.wants_update()
