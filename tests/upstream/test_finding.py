"""Where OpenBackdoor is looked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from openbackdoor_badllm.openbackdoor import finding
from openbackdoor_badllm.openbackdoor.host import open_host
from openbackdoor_badllm.openbackdoor.importing import hook


@pytest.fixture
def alone(untouched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is named, nothing is installed."""
    monkeypatch.delenv(finding.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(p for p in sys.path if "OpenBackdoor" not in p)])
    if finding.find(skip=hook()) is not None:
        pytest.skip("OpenBackdoor is installed here")
    return tmp_path


def test_auto_falls_back_and_says_why(alone: Path) -> None:
    host = open_host("auto")
    assert (host.name, host.revision, host.identity) == ("builtin", "", {})
    assert host.fallback.startswith("OpenBackdoor is not installed")


@pytest.mark.parametrize("inside", [False, True])
def test_a_named_checkout_or_its_package(alone: Path, inside: bool) -> None:
    from fake import write_framework

    home = write_framework(alone / "clone")
    spec = finding.find(home / "openbackdoor" if inside else home, skip=hook())
    assert spec is not None
    assert spec.origin == str(home / "openbackdoor" / "__init__.py")


COMMIT = "1192ba3aa21d8ce9e2a3e7a5d1b2c3d4e5f60718"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"HEAD": COMMIT}, COMMIT),
        ({"HEAD": "ref: refs/heads/main", "refs/heads/main": COMMIT}, COMMIT),
        ({"HEAD": "ref: refs/heads/main", "packed-refs": f"# pack-refs\n{COMMIT} refs/heads/main\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main", "packed-refs": "# pack-refs\n"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_commit(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, content in files.items():
        path = tmp_path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n", encoding="utf-8")
    assert finding.revision(tmp_path / "openbackdoor") == expected
