"""The page of one run or audit; the template lays out what the run's files say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from openbackdoor_badllm.evaluation.folder import FLAGGED
from openbackdoor_badllm.html_report.page import relative, render
from openbackdoor_badllm.html_report.pictures.canvas import Picture
from openbackdoor_badllm.html_report.pictures.run import (
    ACCEPTED,
    FIGURES,
    search_picture,
    trace_picture,
    victims_picture,
)
from openbackdoor_badllm.html_report.rerun import audit_command, defend_command, rerunnable
from openbackdoor_badllm.html_report.run_source import RunFiles, open_run
from openbackdoor_badllm.html_report.shown import difference
from openbackdoor_badllm.html_report.verdict_text import (
    ORDER,
    about_of,
    label_name,
    name_of,
    remarks_of,
    section,
    tiles_of,
    verdict_of,
)
from openbackdoor_badllm.settings import Thresholds
from openbackdoor_badllm.trigger_generator.participation import claimed

TRIED = 6  # proposals of a round
TALK = 8000  # characters of a question or an answer
ROUNDS = 60
COUNTED = (("answered", "answered"), ("candidates that could be tried", "usable"), ("candidates confirmed", "kept"))


def run_page(folder: Path, page: Path, *, alone: bool = False) -> tuple[str, list[Picture]]:
    """The page and its pictures; a page that stands alone has no link to the files of the run."""
    files = open_run(folder)
    results, report = files.results, section(files.results, "report")
    lines = sorted(results["lines"], key=lambda line: (*ORDER, line["name"]).index(line["name"]))
    rounds = files.story["rounds"] if files.story else []
    audit = "rows" in files.config

    def label(number: Any) -> str:
        return label_name(results, number)

    pictures = _pictures(files, lines, label)
    html = render(
        "run.html.j2",
        title=_title(results),
        about=about_of(results),
        verdict=verdict_of(results, report),
        remarks=remarks_of(results, report),
        tiles=tiles_of(results, report, lines),
        findings=[finding for finding in (report, *report.get("further", ())) if _anything(finding)],
        after=section(results, "after_repair_flip_rate"),
        flagged=files.flagged,
        flagged_count=files.flagged_count,
        flagged_link="" if alone else relative(folder / FLAGGED, page),
        rounds=[_round(turn) for turn in rounds[:ROUNDS]],
        more_rounds=max(0, len(rounds) - ROUNDS),
        lines=lines,
        figures=FIGURES,
        evidence=report.get("target_evidence", []),
        cost=_cost(results, report, lines),
        config=json.dumps(rerunnable(files.config), indent=2, sort_keys=True, ensure_ascii=False, default=str),
        command=audit_command(files.config) if audit else defend_command(files.config),
        audit=audit,
        versions=section(results, "versions"),
        pictures={picture.name: picture for picture in pictures},
        label=label,
        label_of_text=lambda text: label(int(text)) if text.isdecimal() else text,
        claimed=lambda finding: claimed(section(finding, "style_name")),
        difference=difference,
        talk=TALK,
    )
    return html, pictures


def _title(results: Mapping[str, Any]) -> str:
    if "poisoner" not in results:
        return f"Audit of {name_of(results, 'dataset')}"
    return f"{name_of(results, 'dataset')}, attack {name_of(results, 'poisoner')}"


def _anything(finding: Mapping[str, Any]) -> bool:
    return any(finding.get(key) for key in ("triggers", "style", "demonstrations"))


def _round(turn: Mapping[str, Any]) -> dict[str, Any]:
    """A round of the search: the best proposals, all accepted ones, and what came of them."""
    proposals = turn["proposals"]
    accepted = [item["reason"] == ACCEPTED for item in proposals]
    return {
        **turn,
        "accepted": sum(accepted),
        "tried": len(proposals),
        "best": max((item["flip_rate"] for item in proposals), default=None),
        "dropped": ", ".join(f"{count} {reason}" for reason, count in (turn["candidates_dropped"] or {}).items()),
        "proposals": [
            {**item, "accepted": hit}
            for place, (item, hit) in enumerate(zip(proposals, accepted, strict=True))
            if place < TRIED or hit
        ],
        "shown": (proposals[0].get("shown") or [])[:3] if proposals else [],
    }


def _cost(
    results: Mapping[str, Any], report: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """Seconds by stage and victim, and what a language model cost."""
    llm = section(report, "llm")
    usage = section(llm, "usage")
    rows = [(f"stage: {stage}", f"{value:.1f} s") for stage, value in section(report, "seconds").items()]
    rows += [(f"victim: {line['name']}", f"{line['seconds']:.1f} s") for line in lines if line.get("seconds")]
    rows += [("the whole run", f"{results['seconds']:.1f} s")] if results.get("seconds") else []
    if not usage:
        return [*rows, ("language model", "none asked")] if report else rows
    return [
        *rows,
        ("language model", str(llm["model"])),
        ("questions asked", f"{usage['asked']:,} ({usage['cache_hits']:,} answered by the cache)"),
        *((name, f"{llm[key]:,}") for name, key in COUNTED if key in llm),
        ("prompt tokens", f"{usage['prompt_tokens']:,}"),
        ("completion tokens", f"{usage['completion_tokens']:,}"),
        ("money", "no price known" if usage["money"] is None else f"{usage['money']:.4f}"),
    ]


def _pictures(
    files: RunFiles, lines: Sequence[Mapping[str, Any]], label: Callable[[Any], str]
) -> list[Picture]:
    report = section(files.results, "report")
    pictures: list[Picture | None] = [victims_picture(lines)] if lines else []
    if files.story:
        thresholds = section(section(files.config, "defender"), "thresholds")
        pictures.append(search_picture(files.story, label, thresholds.get("flip_rate", Thresholds().flip_rate)))
    if files.trace is not None and report:
        target = report.get("target_label")
        pictures.append(trace_picture(files.trace, target, label(target)))
    return [picture for picture in pictures if picture is not None]
