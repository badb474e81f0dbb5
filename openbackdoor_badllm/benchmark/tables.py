"""The tables of a comparison: one line for each config, mean and standard deviation over seeds."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from openbackdoor_badllm.benchmark.runner import CellResult
from openbackdoor_badllm.run.experiment import CLEAN, DEFENDED, ORACLE, UNDEFENDED
from openbackdoor_badllm.run.folder import safe_cell

SHORT = {UNDEFENDED: "none", DEFENDED: "defended", ORACLE: "oracle", CLEAN: "clean"}
LINES = tuple(SHORT)
RATES = ("R-Acc", "FRR", "FAR", "AUROC", "CACC let through", "ASR let through", "R-Acc let through")
COSTS = ("defence_seconds", "peak_memory_mb", "peak_gpu_memory_mb")


def summarise(finished: Sequence[CellResult]) -> list[dict[str, Any]]:
    """One record for each config, in the order of the cells; figures are lists with one entry a seed."""
    records: dict[str, dict[str, Any]] = {}
    for item in finished:
        record = records.setdefault(
            item.cell.config.stem, {"config": item.cell.config.stem, "seeds": [], "failures": []}
        )
        if item.results is None:
            record["failures"].append(item.failure)
            continue
        record["seeds"].append(item.cell.seed)
        for line in item.results["lines"]:
            for figure in ("CACC", "ASR", *RATES, *COSTS):
                if figure in line:
                    record.setdefault(f"{line['name']} {figure}", []).append(line[figure])
        truth, report = item.results.get("truth") or {}, item.results.get("report") or {}
        if report:
            record.setdefault("backdoor", []).append(report["backdoor"])
            record.setdefault("label right", []).append(truth.get("target_label_right"))
            record.setdefault("precision", []).append(truth.get("explained_precision"))
            record.setdefault("recall", []).append(truth.get("explained_recall"))
            record.setdefault("found", []).append(named(report))
        defence = item.results.get("defence")
        if defence is not None:
            record["outcome"] = defence["outcome"]
            record["language model"] = defence["details"].get("language_model", "")
        record.setdefault("seconds", []).append(item.results["seconds"])
    return list(records.values())


def named(report: Mapping[str, Any]) -> str:
    """What was found, in a few words."""
    found = [trigger["text"] for trigger in report["triggers"]]
    if report.get("form") and report["backdoor"]:
        found.append(f"form told by {', '.join(report['form']['marks'][:4])}")
    return "; ".join(found) if report["backdoor"] else "no backdoor"


def to_markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """CACC / ASR of the four victims, and what the defender found. Percent."""
    header = ["config", *(f"{SHORT[name]} CACC / ASR" for name in LINES), "label", "rows: prec. / recall", "found"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for record in records:
        if not record["seeds"]:
            failure = record["failures"][0] if record["failures"] else "not run"
            lines.append(f"| {record['config']} | {_escape(failure)} |" + " |" * (len(header) - 2))
            continue
        figures = [
            f"{spread(record.get(f'{name} CACC'))} / {spread(record.get(f'{name} ASR'))}" for name in LINES
        ]
        right = record.get("label right")
        label = "-" if right is None else f"{sum(map(bool, right))}/{len(right)}"
        rows = f"{spread(record.get('precision'))} / {spread(record.get('recall'))}"
        found = _escape(record["found"][0]) if "found" in record else "-"
        lines.append("| " + " | ".join([record["config"], *figures, label, rows, found]) + " |")
    return "\n".join(lines) + "\n"


def to_defence_markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """What each defence reaches and costs: the line "defended" in full. Percent; AUROC as a fraction of 1."""
    header = ["config", "outcome", "CACC", "ASR", "R-Acc", "FRR", "FAR", "AUROC", "let through: CACC / ASR"]
    header += ["seconds", "peak memory, MiB", "language model"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for record in records:
        if "outcome" not in record:
            continue

        def part(figure: str, values: Mapping[str, Any] = record) -> list[float | None] | None:
            found: list[float | None] | None = values.get(f"{DEFENDED} {figure}")
            return found

        through = f"{spread(part('CACC let through'))} / {spread(part('ASR let through'))}"
        gpu = known(part("peak_gpu_memory_mb"))
        memory = plain_mean(part("peak_memory_mb"), 0) + (f" (GPU {statistics.fmean(gpu):.0f})" if gpu else "")
        cells = [record["config"], record["outcome"]]
        cells += [spread(part(figure)) for figure in ("CACC", "ASR", "R-Acc", "FRR", "FAR")]
        cells += [plain_mean(part("AUROC"), 3), through, plain_mean(part("defence_seconds"), 1), memory]
        cells.append(_escape(record["language model"]) or "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plain_mean(values: Sequence[float | None] | None, digits: int) -> str:
    """Mean as it stands, not in percent."""
    numbers = known(values)
    return f"{statistics.fmean(numbers):.{digits}f}" if numbers else "-"


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """The same, one column a figure; safe to open in a spreadsheet."""
    columns = [f"{name} {figure}" for name in LINES for figure in ("CACC", "ASR", "R-Acc")]
    columns += [f"{DEFENDED} {figure}" for figure in (*RATES[1:], *COSTS)]
    columns += ["precision", "recall", "seconds"]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["config", "seeds", *(f"{column} {part}" for column in columns for part in ("mean", "std"))])
    for record in records:
        cells: list[object] = [record["config"], len(record["seeds"])]
        for column in columns:
            values = known(record.get(column))
            cells += [f"{statistics.fmean(values):.4f}" if values else "", f"{deviation(values):.4f}" if values else ""]
        writer.writerow([safe_cell(cell) for cell in cells])
    return buffer.getvalue()


def spread(values: Sequence[float | None] | None) -> str:
    """Mean in percent, with the standard deviation where there is more than one value."""
    numbers = known(values)
    if not numbers:
        return "-"
    mean = f"{100 * statistics.fmean(numbers):.1f}"
    return mean if len(numbers) == 1 else f"{mean} ± {100 * deviation(numbers):.1f}"


def known(values: Sequence[float | None] | None) -> list[float]:
    """The values that are numbers."""
    return [value for value in values or [] if value is not None and not math.isnan(value)]


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 for one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
