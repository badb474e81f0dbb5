"""The page of a benchmark and its pictures, made when its cells have ended."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from openbackdoor_badllm.benchmark.planned import tables_lock
from openbackdoor_badllm.errors import UserError

PAGE = "report.html"
SHAPING = ("table.json", "plan.json", "grid.yaml")
"""What the page is made from; the runner leaves these files as they are where nothing has changed."""


def write_page(out: Path) -> str:
    """Writes ``report.html`` and its pictures where they are missing, or older than what they are made from.

    Returns:
        A sentence: where the page is and what it lacks, or why there is none. The benchmark's figures do not hang on
        its page.
    """
    from openbackdoor_badllm.html_report.writer import write_report  # jinja2 and matplotlib: only where there is work

    page = out / PAGE
    with tables_lock(out):  # a slower runner on the same folder must not put an older page over a newer one
        if _fresh(page):
            return f"Page: {page} (nothing has changed since it was written)"
        try:
            written = write_report(out, page)
        except UserError as error:
            return f"No page: {error}"
    if written.left_out:
        return f"Page: {written.page}, with tables and no pictures, as {written.left_out}"
    return f"Page: {written.page}, with {len(written.pictures)} pictures in {page.stem}-pictures/"


def _fresh(page: Path) -> bool:
    """Whether page and pictures are younger than what they are made from; pictures count where they can be drawn."""
    shaped = max(_changed(page.with_name(name)) for name in SHAPING)
    made = [_changed(page)]
    if importlib.util.find_spec("matplotlib") is not None:
        beside = page.with_name(f"{page.stem}-pictures")
        drawn = [_changed(picture) for picture in beside.glob("*.svg")]
        made.append(max(drawn, default=made[0] if beside.is_dir() else 0))
    return all(changed and changed >= shaped for changed in made)


def _changed(file: Path) -> int:
    """When a file was last written, in nanoseconds; 0 where there is none."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
