"""``badllmtg report``: what it writes, and the sentence that bad input gets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openbackdoor_badllm.cli import main
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_OK
from openbackdoor_badllm.html_report.writer import write_report

from .world import results, write_benchmark, write_run

pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *arguments: object) -> str:
    """The one sentence of a refusal."""
    assert main(["report", *map(str, arguments)]) == EXIT_BAD_INPUT
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


def test_a_run_and_where_it_is_written(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path / "run")
    assert main(["report", str(folder)]) == EXIT_OK
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    names = {path.name for path in (folder / "report-pictures").iterdir()}
    assert names == {f"{name}.{kind}" for name in ("victims", "search", "trace") for kind in ("svg", "png")}
    out = tmp_path / "other" / "page.html"
    assert main(["report", str(folder), "--out", str(out)]) == EXIT_OK
    assert 'href="../run/explained.csv"' in out.read_text(encoding="utf-8")


def test_no_folder(tmp_path: Path, capsys: Capture) -> None:
    assert "does not exist" in refused(capsys, tmp_path / "nowhere")


def test_an_empty_folder(tmp_path: Path, capsys: Capture) -> None:
    assert "neither a run" in refused(capsys, tmp_path)


def test_a_half_finished_run(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "results.json").unlink()
    assert "has not come to its end" in refused(capsys, folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"lines": 3}', "null", "[" * 100_000])
def test_torn_results(tmp_path: Path, capsys: Capture, content: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "results.json").write_text(content, encoding="utf-8")
    assert "results.json" in refused(capsys, folder)


def test_results_of_another_shape(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path / "run")
    changed = results()
    changed["report"]["triggers"] = [{"no": "text"}]
    (folder / "results.json").write_text(json.dumps(changed), encoding="utf-8")
    assert "make the run again" in refused(capsys, folder)


def test_what_a_run_may_lack(tmp_path: Path) -> None:
    """A run without a trigger search, without a trace, with a torn one, an old one, a defence of another kind."""
    for number, missing in enumerate(("search.json", "explained.csv", "trace.npz", "config.json", "transcript.jsonl")):
        folder = write_run(tmp_path / str(number), llm=True)
        (folder / missing).unlink()
        assert "Backdoor found" in write_report(folder).page.read_text(encoding="utf-8")
    folder = write_run(tmp_path / "torn")
    (folder / "trace.npz").write_bytes((folder / "trace.npz").read_bytes()[:200])
    assert "Confidence of the probe" not in write_report(folder).page.read_text(encoding="utf-8")
    for defender, heading in ((None, "No defence was run"), ("onion", "Defended by onion")):
        folder = write_run(tmp_path / heading)
        other = {key: value for key, value in results().items() if key not in ("report", "truth")}
        (folder / "results.json").write_text(json.dumps({**other, "defender": defender}), encoding="utf-8")
        assert heading in write_report(folder).page.read_text(encoding="utf-8")
    folder = write_run(tmp_path / "nothing")
    nothing = results()
    nothing["report"].update(backdoor=False, triggers=[], demonstrations=[], form=None, form_generalisation=None)
    (folder / "results.json").write_text(json.dumps(nothing), encoding="utf-8")
    page = write_report(folder).page.read_text(encoding="utf-8")
    assert "No backdoor found" in page
    assert "no proof that there is none" in page


def test_a_pickle_in_the_trace_is_not_opened(tmp_path: Path) -> None:
    import numpy as np

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "boom"),))

    folder = write_run(tmp_path / "run")
    flags = np.array([Bomb()] * 3, dtype=object)
    np.savez(folder / "trace.npz", steps=flags, confidence=flags, labels=flags, poisoned=flags, allow_pickle=True)
    write_report(folder)
    assert not (tmp_path / "boom").exists()


def test_a_cell_of_a_benchmark_has_the_lines_of_its_references(tmp_path: Path) -> None:
    cell, references = write_run(tmp_path / "cells" / "own"), write_run(tmp_path / "cells" / "references")
    whole = results()
    for folder, names in ((cell, ["defended"]), (references, ["undefended", "trained on clean rows"])):
        kept = {**whole, "lines": [line for line in whole["lines"] if line["name"] in names]}
        (folder / "results.json").write_text(json.dumps(kept), encoding="utf-8")
    (cell / "cell.json").write_text(json.dumps({"references": "cells/references"}), encoding="utf-8")
    assert "100.0% → 7.0%" in write_report(cell).page.read_text(encoding="utf-8")


def test_a_benchmark_of_failures_names_them(tmp_path: Path, capsys: Capture) -> None:
    folder = write_benchmark(tmp_path / "out", finished=False)
    assert main(["report", str(folder)]) == EXIT_OK
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "The victim folder does not exist." in page
    (folder / "table.json").unlink()  # cut off before its first table
    assert main(["report", str(folder)]) == EXIT_OK
    capsys.readouterr()
    shutil.rmtree(folder / "cells")
    assert "no finished cell yet" in refused(capsys, folder)


@pytest.mark.parametrize("content", ["[]", "{", '{"records": [{"cells": ["x"]}]}'])
def test_a_table_of_another_version(tmp_path: Path, capsys: Capture, content: str) -> None:
    folder = write_benchmark(tmp_path / "out")
    (folder / "table.json").write_text(content, encoding="utf-8")
    assert "version" in refused(capsys, folder)


def test_a_plan_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "out")
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "failure.json").write_text('{"sentence": "SECRET"}', encoding="utf-8")
    plan["cells"].append({**plan["cells"][0], "folder": "../secret"})
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    assert "SECRET" not in write_report(folder).page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path / "run")
    assert "is a folder" in refused(capsys, folder, "--out", tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "cannot be written" in refused(capsys, folder, "--out", tmp_path / "file" / "page.html")


def test_without_matplotlib_the_page_has_the_numbers_and_the_line_to_install_it_is_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        f"from openbackdoor_badllm.cli import main; sys.exit(main(['report', {str(folder)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_OK, done.stderr
    assert "pip install 'openbackdoor-badllm[report]'" in done.stderr
    assert not (folder / "report-pictures").exists()
    bare = (folder / "report.html").read_text(encoding="utf-8")
    written = write_report(folder)
    drawn = written.page.read_text(encoding="utf-8")
    tables = re.findall(r'<details class="picture-numbers">.*?</details>', drawn, flags=re.DOTALL)
    assert len(tables) == len(written.pictures) / 2 > 0
    for table in tables:
        assert table.replace("<details class=\"picture-numbers\"", "<details class=\"picture-numbers\" open") in bare
    assert bare.count("No picture: matplotlib is not installed") == len(tables)


def test_nothing_global_is_left_behind(tmp_path: Path) -> None:
    import csv
    import sys as system

    import matplotlib

    before, limit = dict(matplotlib.rcParams), csv.field_size_limit()
    pyplot = "matplotlib.pyplot" in system.modules
    write_report(write_run(tmp_path / "run"))
    assert dict(matplotlib.rcParams) == before
    assert csv.field_size_limit() == limit
    assert ("matplotlib.pyplot" in system.modules) == pyplot


def test_latex_in_a_matplotlibrc_is_not_run(tmp_path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "svg.fonttype": "path"}):
        written = write_report(write_run(tmp_path / "run"))
    svg = next(path for path in written.pictures if path.name == "victims.svg").read_text(encoding="utf-8")
    assert re.search(r"<text[^>]*>undefended</text>", svg)


def test_the_accepted_flip_rate_is_that_of_the_search() -> None:
    from openbackdoor_badllm.evaluation.experiment import CLEAN, DEFENDED, ORACLE, UNDEFENDED
    from openbackdoor_badllm.html_report.run_page import ACCEPT
    from openbackdoor_badllm.html_report.verdict_text import ORDER
    from openbackdoor_badllm.inversion.findings import SearchConfig

    assert SearchConfig().accept_flip_rate == ACCEPT
    assert ORDER == (UNDEFENDED, DEFENDED, ORACLE, CLEAN)
