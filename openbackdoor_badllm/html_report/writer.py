"""``badllmtg report DIR``: one page, and the pictures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import CONFIG, FLAGGED, PAGE, RESULTS, write_whole
from openbackdoor_badllm.html_report.benchmark_page import benchmark_page
from openbackdoor_badllm.html_report.benchmark_source import is_benchmark, open_benchmark
from openbackdoor_badllm.html_report.page import files_of, relative, render
from openbackdoor_badllm.html_report.pictures.canvas import NOT_DRAWN, Picture
from openbackdoor_badllm.html_report.run_page import run_page
from openbackdoor_badllm.html_report.run_source import open_run


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

    Without matplotlib the page has the numbers of each picture in its place, and no file is written beside it.

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
    try:
        html, drawn = _made(folder, page, alone=alone)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        # Files that somebody changed, or that another version wrote: theirs is another shape, not ours to guess.
        raise ConfigError(
            f"The files in '{folder}' are not as this version of the program writes them ({type(error).__name__}: "
            f"{error}): make the run again with this version."
        ) from error
    beside, files = page.with_name(f"{page.stem}-pictures"), files_of(drawn)
    left_out = NOT_DRAWN if any(not picture.svg for picture in drawn) else ""
    try:
        (page.parent if left_out else beside).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(beside / name, content)
        write_whole(page, html)
    except OSError as error:
        raise ConfigError(f"The report '{page}' cannot be written: {error.strerror or error}.") from None
    return Written(page, [beside / name for name in files], left_out)


def _made(folder: Path, page: Path, *, alone: bool) -> tuple[str, list[Picture]]:
    if is_benchmark(folder):
        compared = benchmark_page(open_benchmark(folder))
        html = render("benchmark.html.j2", page=compared, link=lambda name: relative(folder / name, page))
        return html, compared.pictures
    if not (folder / RESULTS).is_file() and not (folder / CONFIG).is_file():
        raise ConfigError(
            f"The folder '{folder}' holds neither a run (results.json) nor a benchmark (table.json): name the folder "
            "that 'badllmtg defend' told at its end, or the output folder of run_benchmark.py."
        )
    run = run_page(open_run(folder))
    flagged = "" if alone else relative(folder / FLAGGED, page)
    html = render("run.html.j2", page=run, flagged_link=flagged)
    return html, list(run.pictures.values())
