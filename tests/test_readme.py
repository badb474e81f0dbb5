"""README and docs: short sentences, the words of the glossary, links that lead somewhere, figures that agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONGEST_SENTENCE = 30
OLD_WORDS = re.compile(
    r"map of the house|six nouns|stolen (?:rows|ones)|stamped cop(?:y|ies)|\buntaught\b|\bform rows?\b"
    r"|\b(?:an? |its |the )form\b(?! of)|\bthe probe\b(?! (?:texts?|rows?|sets?))",
    re.IGNORECASE,
)
"""Words of earlier versions, for which the glossary has others."""


def tokens(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub and Sphinx give the headings of a page."""
    parsed = tokens(page.read_text(encoding="utf-8"))
    headings = [parsed[place + 1].content for place, token in enumerate(parsed) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links of a page that lead to no file, or to no heading of one."""
    inline = [child for token in tokens(page.read_text(encoding="utf-8")) for child in token.children or ()]
    named = [str(child.attrs.get("href") or child.attrs.get("src") or "") for child in inline]
    found = []
    for link in named:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not link or re.match("[a-z]+:", link):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


def test_links_are_found_and_checked(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n[x](page.md#a-b-c) [y](#a) ![z](no.png) [w](https://example.org)\n", encoding="utf-8")
    assert broken(page) == ["#a", "no.png"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page(page: Path) -> None:
    """Its links lead somewhere, and it uses the words of the glossary."""
    assert not broken(page)
    assert not [match.group() for match in OLD_WORDS.finditer(page.read_text(encoding="utf-8"))]


def test_no_sentence_of_the_readme_is_long() -> None:
    texts = [token.content for token in tokens(README) if token.type == "inline"]
    plain = [re.sub(r"\]\([^)]*\)|`", "", text) for text in texts]
    sentences = [sentence for text in plain for sentence in re.split(r"(?<=[.!?])\s+", text)]
    assert len(sentences) > 40
    assert [sentence for sentence in sentences if len(sentence.split()) > LONGEST_SENTENCE] == []


def shown(victim: str) -> tuple[str, str]:
    """CACC and ASR of a line in the run that is shown."""
    (line,) = re.findall(rf"^{victim} +│ +([0-9.]+) │ +([0-9.]+) │", README, flags=re.MULTILINE)
    return line


def test_the_sentence_below_the_run_repeats_its_figures() -> None:
    told = " ".join(README.split())
    (cacc, asr), (_, floor), (filtered, _) = shown("defended"), shown("trained on clean rows"), shown("oracle filter")
    assert f"ends at an ASR of {asr} ({floor} when trained on clean rows)" in told
    assert f"a CACC of {cacc} ({filtered} for a perfect filter)" in told
