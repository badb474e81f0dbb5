"""Pages made once and looked at by many tests."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from openbackdoor_badllm.html_report.writer import write_report

from .world import hostile, same, write_benchmark, write_run


class Made(NamedTuple):
    """A folder and the page made of it."""

    folder: Path
    page: Path
    html: str
    pictures: list[Path]


KINDS = ("run", "llm run", "hostile run", "benchmark", "hostile benchmark")


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """A page of every kind."""
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    base = tmp_path_factory.mktemp("report")
    folders = {
        "run": write_run(base / "run"),
        "llm run": write_run(base / "llm", llm=True),
        "hostile run": write_run(base / "hostile", hostile, llm=True),
        "benchmark": write_benchmark(base / "benchmark", same),
        "hostile benchmark": write_benchmark(base / "hostile-benchmark", hostile),
    }
    made = {}
    for kind, folder in folders.items():
        written = write_report(folder)
        made[kind] = Made(folder, written.page, written.page.read_text(encoding="utf-8"), written.pictures)
    return made


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, pages: dict[str, Made]) -> Made:
    """Each page in turn."""
    return pages[request.param]


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without pictures, which take most of the time."""
    from openbackdoor_badllm.html_report import benchmark_page, run_page

    monkeypatch.setattr(run_page, "_pictures", lambda *_: [])
    monkeypatch.setattr(benchmark_page, "benchmark_pictures", lambda *_: [])
