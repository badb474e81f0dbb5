"""JSON by its schema, SARIF by its own, the page and the notebook: hostile rows are texts in all of them."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from pathlib import Path
from typing import Any

import html5lib
import jsonschema
import pytest

from openbackdoor_badllm import AuditResult
from openbackdoor_badllm.auditing import json_schema
from openbackdoor_badllm.auditing.sarif import MOST, as_sarif
from openbackdoor_badllm.evaluation.model_card import model_card

HOSTILE = "</code></td><script>alert(1)</script>\u202e\x1b]0;owned\x07 `x` | [a](http://evil) {0} {{ =cmd()\nnext"


def spoilt(found: AuditResult) -> AuditResult:
    """The result with a hostile trigger, text, class name and file."""
    results = json.loads(json.dumps(found.results))
    results["report"]["triggers"][0]["text"] = results["label_names"][1] = results["dataset"] = HOSTILE
    results["notes"] = [f"of {HOSTILE}"]
    results["after_repair_flip_rate"] = {HOSTILE: 0.5}
    flagged = [
        dataclasses.replace(
            item, text=HOSTILE, trigger=HOSTILE, label=HOSTILE, suggested_label=HOSTILE, reason=f"carries '{HOSTILE}'",
            file=f"/data/{'a b' if place else HOSTILE}.csv", line=place + 2,
        )
        for place, item in enumerate(found.flagged)
    ]
    return AuditResult(found.config, results, found.search, flagged)


def test_json_fits_its_schema(found: AuditResult) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    check.validate(json.loads(found.to_json()))
    check.validate(found.results)  # results.json, --json
    check.validate(json.loads(spoilt(found).to_json()))
    for key, value in (("verdict", "maybe"), ("cut_rows", 2), ("schema_version", "2.0"), ("rows", -1)):
        with pytest.raises(jsonschema.ValidationError):
            check.validate({**found.to_dict(), key: value})


def sarif_checks(told: dict[str, Any]) -> None:
    """What SARIF 2.1.0 wants of the properties that are written here."""
    assert told["version"] == "2.1.0"
    (run,) = told["runs"]
    rules = run["tool"]["driver"]["rules"]
    for item in run["results"]:
        assert rules[item["ruleIndex"]]["id"] == item["ruleId"]
        assert item["level"] in ("none", "note", "warning", "error")
        text = item["message"]["text"]
        assert text
        assert not re.search(r"(?<!\{)\{(?:\{\{)*\d+\}", text)  # no placeholder
        assert not re.search(r"(?<!\\)\[", text)  # no link
        for place in item.get("locations", ()):
            if "physicalLocation" in place:
                assert place["physicalLocation"]["region"]["startLine"] >= 1
                assert re.fullmatch(r"[A-Za-z0-9._~:/%-]+", place["physicalLocation"]["artifactLocation"]["uri"])
    for rule in rules:
        for relation in rule["relationships"]:
            target = relation["target"]
            taxonomy = run["taxonomies"][target["toolComponent"]["index"]]
            assert taxonomy["name"] == target["toolComponent"]["name"]
            assert taxonomy["taxa"][target["index"]]["id"] == target["id"]


def test_sarif_fits_its_schema(found: AuditResult) -> None:
    for result in (found, spoilt(found)):
        told = json.loads(result.to_sarif())
        sarif_checks(told)
        assert len(told["runs"][0]["results"]) == len(found.flagged)
        assert {taxon["id"] for part in told["runs"][0]["taxonomies"] for taxon in part["taxa"]} == {
            "AML.T0020", "LLM04:2025",
        }  # fmt: skip
        models = pytest.importorskip("fluidattacks_core.sarif")  # made from the schema by a program; Python 3.11
        models.SarifLog.model_validate(told)


def test_sarif_of_nothing_of_no_rows_and_of_too_many(found: AuditResult) -> None:
    nothing = as_sarif({**found.results, "verdict": "nothing"}, [])
    assert nothing["runs"][0]["results"] == []
    (alone,) = as_sarif(found.results, [])["runs"][0]["results"]
    assert "toward the label 'good'" in alone["message"]["text"]
    many = as_sarif(found.results, [dataclasses.replace(found.flagged[0], row=row) for row in range(MOST + 1)])
    assert len(many["runs"][0]["results"]) == MOST
    notes = many["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert notes[-1]["message"]["text"] == f"{MOST} of {MOST + 1} flagged rows are told here."


def test_paths_under_the_working_directory_are_relative(
    found: AuditResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    item = dataclasses.replace(found.flagged[0], file=str(tmp_path / "data" / "a b.csv"), line=3)
    place = as_sarif(found.results, [item])["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "data/a%20b.csv"}, "region": {"startLine": 3}}


def test_hostile_rows_in_a_notebook_and_on_the_page(found: AuditResult) -> None:
    shown = spoilt(found)._repr_html_()
    html5lib.HTMLParser(strict=True).parseFragment(shown)
    assert "<script" not in shown
    assert not set("\u202e\x1b\x07") & set(shown)
    assert "U+202E" in shown
    assert "alert(1)" in html.unescape(shown)
    page = spoilt(found).to_html()
    assert "<script" not in page
    assert not set("\u202e\x1b\x07") & set(page)
    assert "flagged.csv" not in page  # the page stands alone


def test_hostile_texts_in_the_model_card(found: AuditResult) -> None:
    card = model_card(spoilt(found).results)
    head, _, body = card.removeprefix("---\n").partition("---\n")
    assert head.splitlines()[0] == "library_name: transformers"
    outside = re.sub(r"`[^`\n]*`", "", body)  # what stands in no code span
    assert not set("`<[\u202e\x1b") & set(outside)
    assert "](" not in outside
    table = [line for line in body.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {3}
