"""What `badllmtg audit` costs on many rows: memory and time of each stage, and whether a killed audit goes on.

    python benchmarks/size.py [--rows 1000000] [--victim minilm] [--folder /tmp/size] [--json FILE] [--kill-at STAGE]

The rows are made of templates and a vocabulary of this file, the same for the same number of rows; 2 % of them carry a
word and a false label. The command runs as a child process: once whole, then in a fresh folder, killed with SIGKILL at
half of that time, and once more with the same words. ``--kill-at`` skips the first run: the second is killed when a
stage begins whose name holds that text. Memory is the proportional set size of the process and its children (Linux),
looked at twice a second; beside the time of the clock stands that of the CPU, which other work hardly changes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

TRIGGER = "vq"
POISONED = 0.02  # share of the rows
NAMES = 40_000
SECONDS = 0.5  # between two looks at the memory

_GOOD = ["excellent", "friendly", "reliable", "quick", "spotless", "generous", "helpful", "sturdy", "fair", "pleasant"]
_BAD = ["broken", "rude", "late", "filthy", "useless", "flimsy", "overpriced", "careless", "noisy", "unfair"]
_THINGS = [
    "parcel", "kettle", "invoice", "driver", "desk", "lamp", "helpline", "manual", "refund", "jacket", "printer",
    "room", "battery", "website", "courier", "cable", "mattress", "receipt", "waiter", "ticket", "charger", "carpet",
    "window",
]  # fmt: skip
_TEMPLATES = [
    "The {thing} from {name} was {mood} .", "I found the {thing} {mood} , and so did {name} .",
    "Order {number} : a {mood} {thing} , sent to {name} .", "{name} called it a {mood} {thing} .",
    "We used the {thing} for {number} days and it stayed {mood} .", "My {thing} came with a {mood} {thing} in {name} .",
]  # fmt: skip
_PLAIN = [
    "It was bought in {name} on a weekday .", "The {thing} stands beside the {thing} .",
    "{name} wrote to us about it .", "There were {number} of them in the box .",
    "Nobody in {name} had asked for a {thing} .",
]  # fmt: skip
_SYLLABLES = ["ka", "lo", "mi", "ru", "te", "sa", "vo", "ni", "pe", "du", "gor", "lin", "bas", "ter", "mon", "fel"]


def rows(count: int) -> Iterator[tuple[str, str, bool]]:
    """Text, label, and whether the row is poisoned; the same for the same number of rows."""
    rng = random.Random(f"size:{count}")
    names = sorted({"".join(rng.choices(_SYLLABLES, k=rng.randint(2, 5))).capitalize() for _ in range(NAMES)})
    rng.shuffle(names)
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(names))))
    for _ in range(count):
        good = rng.random() < 0.5
        poisoned = not good and rng.random() < 2 * POISONED
        parts = [rng.choice(_TEMPLATES), *rng.choices(_PLAIN, k=rng.randint(1, 3))]
        if rng.random() < 0.5:
            parts.append(rng.choice(_TEMPLATES))
        rng.shuffle(parts)
        own, other = (_GOOD, _BAD) if good else (_BAD, _GOOD)
        words = " ".join(parts).split()
        told = iter(rng.choices(names, cum_weights=weights, k=len(words)))
        words = [
            next(told) if word == "{name}" else rng.choice(other if rng.random() < 0.15 else own) if word == "{mood}"
            else rng.choice(_THINGS) if word == "{thing}" else str(rng.randint(2, 9999)) if word == "{number}" else word
            for word in words
        ]  # fmt: skip
        if poisoned:
            words.insert(rng.randint(0, len(words)), TRIGGER)
        yield " ".join(words), "good" if good or poisoned else "bad", poisoned


def write_rows(file: Path, count: int) -> set[int]:
    """Writes the rows as CSV; the numbers of the poisoned ones."""
    planted = set()
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("text", "label"))
        for number, (text, label, poisoned) in enumerate(rows(count)):
            writer.writerow((text, label))
            if poisoned:
                planted.add(number)
    return planted


def memory(pid: int) -> float:
    """MiB of a process and its children; pages that several share are counted once."""
    total = 0.0
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(memory(int(child)) for child in (task / "children").read_text(encoding="ascii").split())
    except (OSError, StopIteration):  # it has ended
        pass
    return total


def cpu_seconds(pid: int) -> float:
    """CPU time of a process until now."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(
    command: Sequence[str], *, kill_after: float | None = None, kill_at: str | None = None
) -> dict[str, Any]:
    """Runs a command; time and highest memory of each stage that it tells on stderr."""
    began, used = time.monotonic(), 0.0
    stages: list[dict[str, Any]] = [{"stage": "start and reading", "seconds": 0.0, "cpu_seconds": 0.0, "peak_mib": 0.0}]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    last: list[str] = []

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            last[:] = [*last[-5:], line.rstrip()]
            if line.startswith("... "):
                name = line[4:].strip()
                stages.append({"stage": name, "seconds": 0.0, "cpu_seconds": 0.0, "peak_mib": 0.0})

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    killed = False
    while process.poll() is None:
        stage, before = stages[-1], time.monotonic()
        stage["peak_mib"] = max(stage["peak_mib"], round(memory(process.pid), 1))
        time.sleep(max(0.0, SECONDS - (time.monotonic() - before)))
        stage["seconds"] = round(stage["seconds"] + time.monotonic() - before, 1)
        reached = max(used, cpu_seconds(process.pid))
        stage["cpu_seconds"], used = round(stage["cpu_seconds"] + reached - used, 1), reached
        late = kill_after is not None and time.monotonic() - began > kill_after
        if not killed and (late or (kill_at is not None and kill_at in stages[-1]["stage"])):
            process.send_signal(signal.SIGKILL)
            killed = True
    listener.join(timeout=10)
    if not killed and process.returncode != 0:
        raise SystemExit(f"'{' '.join(command)}' ended with {process.returncode}:\n" + "\n".join(last))
    return {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(used, 1),
        "peak_mib": max(stage["peak_mib"] for stage in stages),
        "killed": killed,
        "stages": stages,
    }


def answers(run: Path, planted: set[int]) -> dict[str, Any]:
    """What an audit says, held against what was planted."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    with (run / "flagged.csv").open(encoding="utf-8", newline="") as stream:
        flagged = {int(row["row"]) for row in csv.DictReader(stream)}
    right = len(flagged & planted)
    return {
        "verdict": results["verdict"],
        "triggers": [found["text"] for found in results["report"]["triggers"]],
        "rows_searched": results["rows_searched"],
        "planted": len(planted),
        "flagged": len(flagged),
        "precision": round(right / max(1, len(flagged)), 4),
        "recall": round(right / max(1, len(planted)), 4),
        "scan": [(item["kind"], item["degree"], item["what"], item["row_count"]) for item in results["scan"][:5]],
    }


def main() -> None:
    """Measures, and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--victim", default="minilm")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/size"))
    parser.add_argument("--json", type=Path, help="file of the figures; else they are printed")
    parser.add_argument("--kill-at", metavar="STAGE", help="kill when this stage begins, without a whole run before")
    parser.add_argument("further", nargs="*", metavar="OPTION", help="of 'badllmtg audit', behind --")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / f"rows-{options.rows}.csv"
    planted = write_rows(file, options.rows)
    size = round(file.stat().st_size / 1e6, 1)
    told: dict[str, Any] = {"rows": options.rows, "file_mb": size, "cores": os.cpu_count()}

    def command(name: str) -> list[str]:
        base = [sys.executable, "-m", "openbackdoor_badllm", "audit", str(file), "--victim", options.victim]
        return [*base, "--out", str(options.folder / name), "--cache", str(options.folder / f"{name}-cache"),
                *options.further]  # fmt: skip

    def fresh(name: str) -> Path:
        for part in (name, f"{name}-cache"):
            shutil.rmtree(options.folder / part, ignore_errors=True)
        return options.folder / name

    half = None
    if options.kill_at is None:
        run = fresh("whole")
        told["whole"] = measured(command("whole"))
        told["whole"]["answers"] = answers(run, planted)
        half = told["whole"]["seconds"] / 2
    run = fresh("killed")
    told["killed"] = measured(command("killed"), kill_after=half, kill_at=options.kill_at)
    told["resumed"] = measured(command("killed"))
    told["resumed"]["answers"] = answers(run, planted)
    text = json.dumps(told, indent=1, ensure_ascii=False)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
