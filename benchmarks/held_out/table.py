"""The tables of ``run.py``'s results: every set, and what they come to together.

    python benchmarks/held_out/table.py runs/held-out --publish results/held-out --page docs/results.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sklearn.metrics import brier_score_loss

from openbackdoor_badllm.benchmark.publish import with_part
from openbackdoor_badllm.probability import Grade, probability_of

Run = dict[str, Any]
LOW_RATE = 0.1
POOR_REPAIR = 10.0


def read_runs(folder: Path) -> list[Run]:
    """The results of a folder, in the order of their kinds and names."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    for run in runs:
        run["probability"] = probability_of(Grade(run["evidence"]))
    return sorted(runs, key=lambda run: (run["kind"] == "clean", run["kind"], run["set"]))


def attacked_table(runs: Sequence[Run]) -> list[str]:
    """A line for each attacked set."""
    lines = [
        "| set | rows, poisoned | verdict | label | rows P / R | CACC / ASR before | after | floor | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        lines.append(
            f"| {run['set']} | {run['rows']}, {run['poisoned']} | {run['verdict']} {_percent(run['probability'])} | "
            f"{_label(run)} | {_number(run['precision'])} / {_number(run['recall'])} | {_rates(run.get('before'))} | "
            f"{_rates(run.get('after'))} | {_floor(run)} | {round(sum(run['seconds'].values()))} |"
        )
    return lines


def clean_table(runs: Sequence[Run]) -> list[str]:
    """A line for each base, a column for each variant; the verdict and its probability."""
    bases = sorted({_split(run)[0] for run in runs})
    variants = list(dict.fromkeys(_split(run)[1] for run in sorted(runs, key=lambda run: run["set"])))
    told = {_split(run): run for run in runs}
    lines = ["| rows of | " + " | ".join(variants) + " |", "|---" * (len(variants) + 1) + "|"]
    for base in bases:
        cells = [told.get((base, variant)) for variant in variants]
        shown = (f"{cell['verdict']} {_percent(cell['probability'])}" if cell else "" for cell in cells)
        lines.append(f"| {base} | " + " | ".join(shown) + " |")
    return lines


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """The figures of all sets together."""
    attacked, clean = [run for run in runs if run["poisoned"]], [run for run in runs if not run["poisoned"]]
    learnt = [run for run in attacked if _rate(run) >= LOW_RATE and run["before"]["ASR"] >= 80]
    repaired = [run for run in attacked if _found(run) and "after" in run]
    alarms = [run["set"] for run in clean if run["verdict"] == "backdoor"]
    kinds = sorted({run["kind"] for run in attacked})
    told: dict[str, Any] = {
        "sets": {"attacked": len(attacked), "clean": len(clean)},
        "label right, rate of 10 % and more, attack learnt": _share(learnt, _found),
        "found, by kind": {kind: _share([run for run in attacked if run["kind"] == kind], _found) for kind in kinds},
        "found, rate under 10 %": _share([run for run in attacked if _rate(run) < LOW_RATE], _found),
        "found, labels untouched": _share([run for run in attacked if "clean-label" in run["set"]], _found),
        "excess ASR after the repair, found": _mean([_excess(run) for run in repaired]),
        "excess ASR after all, found or not": _mean([_excess(run) for run in attacked]),
        "repairs with an excess over 10 points": [run["set"] for run in repaired if _excess(run) > POOR_REPAIR],
        "CACC after the repair against before": _mean(
            [run["after"]["CACC"] - run["before"]["CACC"] for run in repaired]
        ),
        "CACC after the repair against a training without the poison": _mean(
            [run["after"]["CACC"] - run["oracle"]["CACC"] for run in repaired if "oracle" in run]
        ),
        "repairs that plant a backdoor": [run["set"] for run in attacked if run["planted"]],
        "false alarms": alarms,
    }
    truth, said = [run["poisoned"] > 0 for run in runs], [run["probability"] for run in runs]
    told["Brier score"] = round(float(brier_score_loss(truth, said)), 4)
    told["attacked and clean sets by grade of evidence"] = {
        name.value: " and ".join(
            str(sum(run["evidence"] == name.value and bool(run["poisoned"]) is side for run in runs))
            for side in (True, False)
        )
        for name in Grade
    }
    return told


def page(runs: Sequence[Run]) -> str:
    """Markdown of all tables."""
    attacked, clean = [run for run in runs if run["poisoned"]], [run for run in runs if not run["poisoned"]]
    commits = sorted({run["commit"][:9] for run in runs})
    lines = [f"{len(attacked)} attacked and {len(clean)} clean sets; commit {', '.join(commits)}.", ""]
    for name, value in summary(runs).items():
        lines.append(f"- {name}: {_told(value)}")
    return "\n".join([*lines, "", *attacked_table(attacked), "", *clean_table(clean), ""])


def peers_table(peers: dict[str, Any], runs: Sequence[Run]) -> list[str]:
    """Precision and recall of the rows that other tools name, beside ours."""
    known = [run for run in runs if run["poisoned"] and run["set"] in peers]
    names = list(dict.fromkeys(name for run in known for name in peers[run["set"]]))
    lines = ["| set | badllmtg | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for run in known:
        cells = [run, *(peers[run["set"]][name] for name in names)]
        shown = (f"{_number(cell['precision'])} / {_number(cell['recall'])}" for cell in cells)
        lines.append(f"| {run['set']} | " + " | ".join(shown) + " |")
    clean = [run for run in runs if not run["poisoned"] and run["set"] in peers]
    if clean:
        told = [f"{100 * sum(run['flagged'] for run in clean) / sum(run['rows'] for run in clean):.1f} %"]
        for name in names:
            cells = [(peers[run["set"]].get(name), run["rows"]) for run in clean]
            rows = sum(rows for cell, rows in cells if cell)
            told.append(f"{100 * sum(cell['named'] for cell, _ in cells if cell) / rows:.1f} %" if rows else "-")
        lines.append(f"| rows named in {len(clean)} clean sets | " + " | ".join(told) + " |")
    return lines


def _found(run: Run) -> bool:
    return bool(run["verdict"] == "backdoor" and run["found_label"] == str(run["target"]))


def _rate(run: Run) -> float:
    return float(run["poisoned"] / run["rows"])


def _excess(run: Run) -> float:
    """ASR beyond what a model without the backdoor has: one trained without the poison, else the model's own errors."""
    after = run.get("after", run["before"])
    return float(after["ASR"] - run.get("oracle", {}).get("ASR", after["floor"]))


def _floor(run: Run) -> str:
    if "oracle" in run:
        return f"{run['oracle']['ASR']:.1f}"
    return f"{run.get('after', run['before'])['floor']:.1f} (own)"


def _share(runs: Sequence[Run], test: Callable[[Run], bool]) -> str:
    return f"{sum(map(test, runs))} of {len(runs)}"


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None


def _split(run: Run) -> tuple[str, str]:
    for base in ("sst-2", "hate-speech"):
        if run["set"].startswith(base + "-"):
            return base, run["set"].removeprefix(base + "-")
    base, _, variant = run["set"].partition("-")
    return base, variant


def _label(run: Run) -> str:
    if run["verdict"] != "backdoor":
        return "-"
    return "right" if _found(run) else "wrong"


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "-" if value is None else str(value)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _rates(rates: dict[str, float] | None) -> str:
    return "-" if not rates else f"{rates['CACC']:.1f} / {rates.get('ASR', float('nan')):.1f}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder that run.py filled")
    parser.add_argument("--publish", type=Path, help="folder for README.md and table.json")
    parser.add_argument("--page", type=Path, help="page that gets the tables between its marks")
    given = parser.parse_args()
    runs, peers = read_runs(given.results), given.results / "peers" / "peers.json"
    text = page(runs)
    if peers.exists():
        told = json.loads(peers.read_text(encoding="utf-8"))
        text += "\nPrecision / recall of the rows that are named:\n\n" + "\n".join(peers_table(told, runs)) + "\n"
    sys.stdout.write(text)
    if given.page:
        given.page.write_text(with_part(given.page, "held-out", text), encoding="utf-8")
    if given.publish:
        given.publish.mkdir(parents=True, exist_ok=True)
        (given.publish / "README.md").write_text("# Held-out sets\n\n" + text, encoding="utf-8")
        left_out = {"triggers", "styles", "report"}  # texts of the rows
        kept = {
            "summary": summary(runs), "runs": [{k: v for k, v in run.items() if k not in left_out} for run in runs],
        }  # fmt: skip
        (given.publish / "table.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
