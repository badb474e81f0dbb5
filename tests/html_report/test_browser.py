"""The pages in headless Chromium: no complaint, no request, no script."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Made

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--enable-logging=stderr",
)  # fmt: skip


def browse(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the browser once, with a profile of its own."""
    line = [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=240, check=True, errors="replace")


@pytest.fixture
def served(made: Made) -> Iterator[tuple[str, list[str]]]:
    """The page's folder behind a server of its own, and what was asked of it."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, directory=str(made.folder), **named)  # type: ignore[arg-type]

        def log_message(self, format: str, *arguments: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/report.html", asked
        server.shutdown()


@pytest.mark.slow
def test_nothing_leaves_it_and_nothing_is_complained_of(tmp_path: Path, served: tuple[str, list[str]]) -> None:
    address, asked = served
    log = tmp_path / "net.json"
    done = browse(tmp_path, f"--log-net-log={log}", "--dump-dom", address)
    assert "CONSOLE" not in done.stderr
    assert asked == ["/report.html"]  # no icon, no picture, no style
    assert "evil.example" not in log.read_text(encoding="utf-8", errors="replace")
    assert done.stdout.rstrip().endswith("</html>")
