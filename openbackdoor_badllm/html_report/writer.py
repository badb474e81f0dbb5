"""``badllmtg report DIR``: one page, and the pictures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jinja2 import UndefinedError

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import CONFIG, PAGE, RESULTS, write_whole
from openbackdoor_badllm.html_report.benchmark_page import benchmark_page, is_benchmark
from openbackdoor_badllm.html_report.pictures.canvas import NOT_DRAWN
from openbackdoor_badllm.html_report.run_page import run_page


class Written(NamedTuple):
    """What was written.

    Attributes:
        page: the HTML file.
        pictures: the files beside it.
        left_out: why the page has no pictures; empty where it has all of them.
    """

    page: Path
    pictures: list[Path]
    left_out: str = ""


def write_report(folder: Path, out: Path | None = None, *, alone: bool = False) -> Written:
    """Writes the page of a run or of a benchmark, and its pictures into ``<page's name>-pictures`` beside it.

    Without matplotlib the page has the numbers alone, and no file is written beside it.

    Args:
        folder: of one run, or the output folder of ``run_benchmark.py``.
        out: the page; ``report.html`` in the folder when None.
        alone: the page is to be read without the folder, and links to none of its files.

    Raises:
        ConfigError: the folder holds no finished run and no benchmark, or the page cannot be written.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"The folder '{folder}' does not exist: name the folder of a run or the output folder of run_benchmark.py."
        )
    page = out or folder / PAGE
    if page.is_dir():
        raise ConfigError(f"'{page}' is a folder: name a file after --out, for instance {page / PAGE}.")
    if not any((folder / name).is_file() for name in (RESULTS, CONFIG)) and not is_benchmark(folder):
        raise ConfigError(
            f"The folder '{folder}' holds neither a run (results.json) nor a benchmark (table.json): name the folder "
            "that 'badllmtg defend' told at its end, or the output folder of run_benchmark.py."
        )
    try:
        html, drawn = benchmark_page(folder, page) if is_benchmark(folder) else run_page(folder, page, alone=alone)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, UndefinedError) as error:
        # Files that somebody changed, or that another version wrote: theirs is another shape, not ours to guess.
        raise ConfigError(
            f"The files in '{folder}' are not as this version of the program writes them ({type(error).__name__}: "
            f"{error}): make the run again with this version."
        ) from error
    beside = page.with_name(f"{page.stem}-pictures")
    files = {
        beside / f"{picture.name}.{kind}": content
        for picture in drawn
        for kind, content in (("svg", picture.svg), ("png", picture.png))
        if content
    }
    left_out = NOT_DRAWN if any(not picture.svg for picture in drawn) else ""
    try:
        (page.parent if left_out else beside).mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            write_whole(path, content)
        write_whole(page, html)
    except OSError as error:
        raise ConfigError(f"The report '{page}' cannot be written: {error.strerror or error}.") from None
    return Written(page, list(files), left_out)
