"""Publishes the tables of a benchmark: a small folder for the repository, and a section of a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openbackdoor_badllm.benchmark.tables import page_text, to_markdown
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import as_json, write_whole

TABLE, READABLE = "table.json", "README.md"


def publish(table: Mapping[str, Any], folder: Path, page: Path | None = None) -> None:
    """Writes ``table.json`` and ``README.md`` (all tables) to a folder, and what matters of it into a page.

    Args:
        table: the content of ``table.json``.
        folder: such as ``results/desk``; made when needed.
        page: a Markdown file with the lines ``<!-- NAME -->`` and ``<!-- /NAME -->``, NAME being the folder's name;
            what stands between them is replaced.

    Raises:
        ConfigError: the page has no such lines, or a file cannot be read or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / TABLE, as_json(table))
        write_whole(folder / READABLE, to_markdown(table))
        if page is not None:
            write_whole(page, with_part(page, folder.name, page_text(table)))
    except OSError as error:
        raise ConfigError(f"'{error.filename or folder}' cannot be written or read: {error.strerror}.") from None


def check_page(page: Path, folder: Path) -> None:
    """Refuses a page that has no place for a folder's part: before hours of work, not after them.

    Raises:
        ConfigError: as :func:`publish`.
    """
    try:
        with_part(page, folder.name, "")
    except OSError as error:
        raise ConfigError(f"The page '{page}' cannot be read: {error.strerror}.") from None


def with_part(page: Path, name: str, part: str) -> str:
    """The text of a page with another part between the lines ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Raises:
        ConfigError: the page has no such lines.
        OSError: it cannot be read.
    """
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    changed, count = pattern.subn(lambda found: f"{found[1]}{part}\n{found[2]}", text)
    if count != 1:
        raise ConfigError(
            f"The page '{page}' should have the lines '<!-- {name} -->' and '<!-- /{name} -->' once, and has them "
            f"{count} times: add them where the figures are to stand."
        )
    return changed
