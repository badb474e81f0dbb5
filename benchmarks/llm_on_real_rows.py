"""The LLM search on real rows, where no LLM can be had: how many calls and tokens, and does it find the trigger.

    python benchmarks/llm_on_real_rows.py --data-root ../shared/data sst-2_badnets sst-2_addsent ...

Insertion attacks, and ``synbkd`` without ``--recorded``: a chat server on loopback plays an honest reader, who uses
nothing but the prompt. With ``--recorded``: the rewrites of a real LLM in ``DATA/llm`` answer. Each is a whole
``badllmtg defend`` run in a process of its own. It is no test that pytest collects: a pair takes minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from llm.chat_server import ChatServer  # noqa: E402
from llm_world import honest  # noqa: E402

COLUMNS = (
    "pair", "answered by", "calls", "prompt + completion tokens", "found", "flips: search, select, report",
    "rows: prec. / recall", "undefended", "defended", "clean",
)  # fmt: skip


def run(pair: str, options: argparse.Namespace) -> dict[str, object]:
    """One whole run; its results."""
    config = json.loads((ROOT / "configs" / f"{pair}_badllmtg.json").read_text(encoding="utf-8"))
    folder = options.out / f"{pair}-{'recorded' if options.recorded else 'reader'}"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if options.recorded:
            llm = {"backend": "replay", "replay": [str((options.data_root / "llm" / f"{pair}.jsonl").resolve())]}
        else:
            server = stack.enter_context(ChatServer(honest))
            llm = {"backend": "openai", "model": "honest-reader", "base_url": server.base_url}
            llm["cache"] = str(folder / "llm.sqlite")  # of its own: the calls of a first run are what is counted
        config["defender"]["llm"] = llm
        (folder / "asked.json").write_text(json.dumps(config), encoding="utf-8")
        command = [
            sys.executable, "-m", "openbackdoor_badllm", "defend", "--config", str(folder / "asked.json"),
            "--profile", "desk", "--data-root", str(options.data_root), "--out", str(folder / "run"), "--force",
            "--seed", str(options.seed),
        ]  # fmt: skip
        if options.cache:
            command += ["--cache", str(options.cache)]
        subprocess.run(command, check=True, cwd=ROOT)
    results: dict[str, object] = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))
    return results


def line(pair: str, results: dict[str, object], answered_by: str) -> str:
    """A row of the table."""
    report, truth = dict(results["report"]), dict(results["truth"])  # type: ignore[call-overload]
    usage = report["llm"]["usage"]
    found = [trigger["text"] for trigger in report["triggers"]]
    flips = [
        " ".join(f"{trigger[probes]['flip_rate']:.2f}" for probes in ("search", "select", "report"))
        for trigger in report["triggers"]
    ]
    figures = {item["name"]: f"{100 * item['CACC']:.1f} / {100 * item['ASR']:.1f}" for item in results["lines"]}  # type: ignore[attr-defined]
    shown = "; ".join(found) + (" + style" if report["style"] and report["backdoor"] else "")
    rows = f"{truth['flagged_precision']} / {truth['flagged_recall']}"
    cells = (
        pair, answered_by, usage["asked"], f"{usage['prompt_tokens']:,} + {usage['completion_tokens']:,}", shown or "-",
        "; ".join(flips) or "-", rows, figures["undefended"], figures["defended"], figures["trained on clean rows"],
    )  # fmt: skip
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Runs the pairs in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="PAIR", help="such as sst-2_badnets")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--recorded", action="store_true", help="recorded rewrites of a real LLM answer")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/llm"))
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    options.data_root, options.out = options.data_root.resolve(), options.out.resolve()
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for pair in options.pairs:
        answered_by = "recorded rewrites" if options.recorded else "honest reader"
        lines.append(line(pair, run(pair, options), answered_by))


if __name__ == "__main__":
    main()
