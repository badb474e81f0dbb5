"""The figures of the README are those of the run that it shows, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shown(victim: str) -> tuple[str, str]:
    """CACC and ASR of a line in the run that is shown."""
    (line,) = re.findall(rf"^{victim} +│ +([0-9.]+) │ +([0-9.]+) │", README, flags=re.MULTILINE)
    return line


def test_the_sentence_below_the_run_repeats_its_figures() -> None:
    told = " ".join(README.split())
    (cacc, asr), (_, floor), (filtered, _) = shown("defended"), shown("trained on clean rows"), shown("oracle filter")
    assert f"ends at an ASR of {asr} ({floor} when trained on clean rows)" in told
    assert f"a CACC of {cacc} ({filtered} for a perfect filter)" in told


def test_every_link_to_a_file_leads_to_one() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
