"""``badllmtg show``, ``report`` and ``doctor``: they read, and train nothing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from openbackdoor_badllm.cli.common import EXIT_CODES, Commands, print_json
from openbackdoor_badllm.errors import EXIT_OK


def add_commands(commands: Commands) -> None:
    """The commands and their options."""
    show = commands.add_parser(
        "show",
        help="the search of a run, iteration by iteration: what was asked, what came, what the victim said",
        epilog=EXIT_CODES,
    )
    show.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a finished run")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print Markdown, questions and answers in full")
    show.set_defaults(run=_show)

    report = commands.add_parser(
        "report",
        help="one HTML page, and pictures, of a run or of a benchmark",
        description="Writes one self-contained HTML page, and its pictures as SVG and PNG, from what a run or "
        "run_benchmark.py left in a folder.",
        epilog=EXIT_CODES,
    )
    report.add_argument("folder", type=Path, metavar="DIR", help="folder of a run, or output of run_benchmark.py")
    report.add_argument("--out", type=Path, metavar="FILE", help="the page (default DIR/report.html)")
    report.set_defaults(run=_report)

    doctor = commands.add_parser(
        "doctor", help="what is installed, which host, hub, GPU, LLM endpoint, data found", epilog=EXIT_CODES
    )
    doctor.add_argument("--data-root", type=Path, metavar="DIR", help="folder with datasets/ and poison_data/")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_doctor)


def _show(options: argparse.Namespace) -> int:
    from openbackdoor_badllm.evaluation.show import as_markdown, as_text, story

    told = story(options.run_folder)
    if options.json:
        print_json(told)
    elif options.markdown:
        sys.stdout.write(as_markdown(told))
    else:
        sys.stdout.write("\n".join(as_text(told)) + "\n")
    return EXIT_OK


def _report(options: argparse.Namespace) -> int:
    from openbackdoor_badllm.html_report.writer import write_report

    written = write_report(options.folder, options.out)
    sys.stdout.write(f"{written.page}\n")
    if written.left_out:
        sys.stderr.write(f"badllmtg: the page has tables and no pictures, as {written.left_out}.\n")
    return EXIT_OK


def _doctor(options: argparse.Namespace) -> int:
    from openbackdoor_badllm.evaluation.doctor import examine

    found = examine(options.data_root)
    if options.json:
        print_json(found)
        return EXIT_OK
    console = Console()
    for section, value in found.items():
        if isinstance(value, dict):
            console.print(f"[bold]{section}[/bold]")
            for name, item in value.items():
                shown = "; ".join(item) if isinstance(item, list) else str(item)
                console.print(f"  {name}: {shown or 'none'}", markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(f"[bold]{section}[/bold]", end=" ")
            console.print(str(value), markup=False, highlight=False, soft_wrap=True)
    return EXIT_OK
