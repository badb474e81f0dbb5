"""The page of a benchmark and its pictures, made when its cells have ended."""

from __future__ import annotations

from pathlib import Path

from openbackdoor_badllm.errors import MissingExtraError, UserError

PAGE = "report.html"
SHAPING = ("table.json", "plan.json", "grid.yaml")
"""What the page is made from; the runner leaves these files as they are where nothing has changed."""


def write_page(out: Path) -> str:
    """Writes ``report.html`` and its pictures where they are missing, or older than what they are made from.

    Call it with the tables' lock held: a slower runner on the same folder must not put an older page over a newer one.

    Returns:
        A sentence: where the page is, or why there is none. The benchmark's figures do not hang on its page.
    """
    page = out / PAGE
    if _fresh(page):
        return f"Page: {page} (nothing has changed since it was written)"
    # Here, as matplotlib takes a second, and not everybody has it.
    from openbackdoor_badllm.html_report.writer import write_report

    try:
        written = write_report(out, page)
    except MissingExtraError as error:
        return f"No page and no pictures: {error}"
    except UserError as error:
        return f"No page: {error}"
    return f"Page: {written.page}, with {len(written.pictures)} pictures in {page.stem}-pictures/"


def _fresh(page: Path) -> bool:
    made = _changed(page)
    beside = page.with_name(f"{page.stem}-pictures")
    return bool(made) and beside.is_dir() and all(_changed(page.with_name(name)) <= made for name in SHAPING)


def _changed(file: Path) -> int:
    """When a file was last written, in nanoseconds; 0 where there is none."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
