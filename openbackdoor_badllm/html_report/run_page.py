"""What the page of one run says, as plain values; the template only lays it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.html_report.pictures.canvas import Picture
from openbackdoor_badllm.html_report.pictures.lines import FIGURES, Bar, lines_picture
from openbackdoor_badllm.html_report.pictures.search_rounds import rounds_of, search_picture
from openbackdoor_badllm.html_report.pictures.trace import trace_picture
from openbackdoor_badllm.html_report.rerun import audit_command, defend_command, rerunnable
from openbackdoor_badllm.html_report.run_source import RunFiles
from openbackdoor_badllm.html_report.shown import difference, short
from openbackdoor_badllm.html_report.verdict_text import (
    DEFENDED,
    ORDER,
    Verdict,
    about_of,
    label_name,
    name_of,
    section,
    share,
    tiles_of,
    verdict_of,
)
from openbackdoor_badllm.trigger_generator.participation import claimed

ACCEPT = 0.85  # SearchConfig.accept_flip_rate where a config names none; its module would load torch as well
TRIED = 6  # proposals of a round
TALK = 8000  # characters of a question or an answer
ROUNDS = 60


@dataclass
class RunPage:
    """One run, ready to be laid out. Texts are as they were written; the template makes them harmless."""

    title: str
    about: str
    verdict: Verdict
    tiles: list[dict[str, str]]
    findings: list[dict[str, Any]]
    flagged: dict[str, Any] | None
    rounds: list[dict[str, Any]]
    more_rounds: int
    lines: list[dict[str, Any]]
    evidence: list[dict[str, Any]]
    cost: dict[str, Any]
    config: str
    command: str
    audit: bool
    versions: dict[str, str]
    pictures: dict[str, Picture]

    @property
    def sections(self) -> list[tuple[str, str]]:
        """The headings that the page has: id and name."""
        wanted = (
            ("verdict", "Verdict", True),
            ("trigger", "Trigger", self.findings),
            ("rows", "Rows", self.flagged),
            ("search", "Search", self.rounds),
            ("victims", "Victims", self.lines),
            ("label", "Target label", self.evidence or "trace" in self.pictures),
            ("cost", "Cost", True),
            ("again", "Make it again", True),
        )
        return [(name, heading) for name, heading, there in wanted if there]


def run_page(files: RunFiles) -> RunPage:
    """Everything that the page says of a run."""
    results, report = files.results, section(files.results, "report")
    lines = sorted(results["lines"], key=lambda line: _place(line.get("name")))
    return RunPage(
        title=_title(results),
        about=about_of(results),
        verdict=verdict_of(results, report),
        tiles=tiles_of(results, report, lines),
        findings=_findings(results, report),
        flagged=_flagged(files),
        rounds=[_round(turn, results) for turn in _turns(files)[:ROUNDS]],
        more_rounds=max(0, len(_turns(files)) - ROUNDS),
        lines=[_line(line) for line in lines],
        evidence=[_evidence(item, results) for item in report.get("target_evidence") or []],
        cost=_cost(results, report, lines),
        config=json.dumps(rerunnable(files.config), indent=2, sort_keys=True, ensure_ascii=False, default=str),
        command=audit_command(files.config) if "rows" in files.config else defend_command(files.config),
        audit="rows" in files.config,
        versions={str(name): str(value) for name, value in section(results, "versions").items()},
        pictures={picture.name: picture for picture in _pictures(files, lines)},
    )


def _title(results: Mapping[str, Any]) -> str:
    if "poisoner" not in results:
        return f"Audit of {name_of(results, 'dataset')}"
    return f"{name_of(results, 'dataset')}, attack {name_of(results, 'poisoner')}"


def _findings(results: Mapping[str, Any], report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was found, label by label; labels without anything to show are left out."""
    told: list[dict[str, Any]] = []
    after = section(results, "after_repair_flip_rate")
    for finding in (report, *(report.get("further") or ())):
        shown = {
            "label": label_name(results, finding.get("target_label")),
            "triggers": [_trigger(item, after) for item in finding.get("triggers") or []]
            if report.get("backdoor")
            else [],
            "style": _style(finding),
            "demonstrations": [_demonstration(item, results) for item in finding.get("demonstrations") or []],
        }
        if shown["triggers"] or shown["style"] or shown["demonstrations"]:
            told.append(shown)
    return told


def _trigger(item: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "text": str(item["text"]),
        "kind": item.get("kind"),
        "place": item.get("position"),
        "flips": share(section(item, "report").get("flip_rate"), 0),
        "texts": section(item, "report").get("texts"),
        "reference": share(item.get("reference_shift"), 0),
        "contradicted": share(item.get("contradicted"), 0),
        "p": "none" if item.get("p_value") is None else f"{item['p_value']:.2g}",
        "after": share(after[item["text"]], 0) if item["text"] in after else "",
        "rows": item.get("target_rows"),
        "others": item.get("other_rows"),
    }


def _style(finding: Mapping[str, Any]) -> dict[str, Any] | None:
    style, test = section(finding, "style"), section(finding, "unlearning")
    if not style:
        return None
    return {
        "rows": style.get("rows"),
        "marks": [str(mark) for mark in style.get("marks") or []],
        "claimed": claimed(section(finding, "style_name")),
        "moved": share(test.get("moved"), 0),
        "usual": share(test.get("usual"), 0),
    }


def _demonstration(item: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    text, triggered = str(item["text"]), str(item["triggered"])
    return {
        "text": short(text),
        "triggered": difference(triggered, text),
        "before": label_name(results, item.get("label_before")),
        "after": label_name(results, item.get("label_after")),
        "flipped": item.get("label_before") != item.get("label_after"),
        "p_before": share(item.get("target_probability_before")),
        "p_after": share(item.get("target_probability_after")),
    }


def _flagged(files: RunFiles) -> dict[str, Any] | None:
    if not files.flagged:
        return None
    return {
        "count": files.flagged_count,
        "rows": [
            {
                "row": row.row,
                "probability": row.probability,
                "trigger": short(row.trigger, 60),
                "label": label_name(files.results, int(row.label) if row.label.isdecimal() else row.label),
                "text": difference(row.text, row.without),
            }
            for row in files.flagged
        ],
    }


def _turns(files: RunFiles) -> list[dict[str, Any]]:
    return list(files.story["rounds"]) if files.story else []


def _round(turn: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    proposals = turn["proposals"]
    shown = (proposals[0].get("shown") or []) if proposals else []
    asked, answer = turn.get("asked"), turn.get("answer")
    return {
        "label": label_name(results, turn["label"]),
        "iteration": turn["iteration"],
        "question": turn.get("question"),
        "asked": _talk(asked),
        "answer": _talk(answer),
        "outcome": turn.get("outcome"),
        "dropped": ", ".join(f"{count} {reason}" for reason, count in (turn.get("candidates_dropped") or {}).items()),
        "accepted": sum(item.get("reason") == "accepted" for item in proposals),
        "tried": len(proposals),
        "best": max((item["flip_rate"] for item in proposals), default=None),
        "proposals": [
            {
                "text": short(str(item["text"]), 160),
                "kind": item.get("kind"),
                "place": item.get("position"),
                "reward": "none" if item.get("reward") is None else f"{item['reward']:.3f}",
                "flip_rate": item["flip_rate"],
                "texts": item.get("texts"),
                "reason": item.get("reason"),
                "accepted": item.get("reason") == "accepted",
            }
            for place, item in enumerate(proposals)
            if place < TRIED or item.get("reason") == "accepted"
        ],
        "shown": [
            {
                "text": short(str(item["text"]), 200),
                "altered": difference(str(item["altered"]), str(item["text"]), 200),
                "before": str(item["before"]),
                "after": str(item["after"]),
            }
            for item in shown[:3]
        ],
    }


def _talk(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    return {"text": text[:TALK], "size": len(text), "cut": len(text) > TALK}


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(line.get("name")),
        "figures": [share(line.get(figure)) for figure in FIGURES],
        "rows": line.get("train_rows"),
        "seconds": line.get("seconds"),
        "main": line.get("name") == DEFENDED,
    }


def _evidence(item: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": label_name(results, item.get("label")),
        "suspicion": f"{item.get('suspicion', 0):.3f}",
        "variance": share(item.get("variance_share"), 0),
        "contradicted": share(item.get("contradicted"), 0),
        "base": share(item.get("base_rate"), 0),
    }


COUNTED = (("answered", "answered"), ("candidates that could be tried", "usable"), ("candidates confirmed", "kept"))


def _cost(results: Mapping[str, Any], report: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    llm = section(report, "llm")
    usage = section(llm, "usage")
    rows = [(f"stage: {stage}", f"{value:.1f} s") for stage, value in section(report, "seconds").items()]
    rows += [
        (f"victim: {line.get('name')}", f"{line['seconds']:.1f} s") for line in lines if line.get("seconds") is not None
    ]
    if results.get("seconds") is not None:
        rows.append(("the whole run", f"{results['seconds']:.1f} s"))
    if usage:
        rows += [
            ("language model", str(llm.get("model") or report.get("generator"))),
            ("questions asked", f"{usage.get('asked', 0):,} ({usage.get('cache_hits', 0):,} answered by the cache)"),
            *((name, f"{llm[key]:,}") for name, key in COUNTED if key in llm),
            ("prompt tokens", f"{usage.get('prompt_tokens', 0):,}"),
            ("completion tokens", f"{usage.get('completion_tokens', 0):,}"),
            ("money", "no price known" if usage.get("money") is None else f"{usage['money']:.4f}"),
        ]
    elif report:
        rows.append(("language model", "none asked"))
    return {"rows": rows}


def _pictures(files: RunFiles, lines: Sequence[Mapping[str, Any]]) -> list[Picture]:
    results, report = files.results, section(files.results, "report")
    pictures = []
    bars = [Bar(str(line.get("name")), [line.get(figure) for figure in FIGURES]) for line in lines]
    if bars:
        pictures.append(lines_picture(bars))
    rounds = rounds_of(files.story) if files.story else []
    if rounds:
        names = {turn.label: label_name(results, turn.label) for turn in rounds}
        settings = section(section(files.config, "defender"), "search")
        pictures.append(search_picture(rounds, names, float(settings.get("accept_flip_rate", ACCEPT))))
    if files.trace is not None and report:
        target = report.get("target_label")
        pictures.append(trace_picture(files.trace, target, label_name(results, target)))
    return pictures


def _place(name: Any) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
