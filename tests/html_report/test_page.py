"""The pages: what they say, that nothing in them acts, that all can read them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from openbackdoor_badllm.html_report.writer import write_report

from .conftest import KINDS, Made
from .world import hostile, write_run

html5lib = pytest.importorskip("html5lib")
LIMIT = 1_500_000  # bytes of a page
HOSTILE = [kind for kind in KINDS if "hostile" in kind]
# fmt: off
ALLOWED = frozenset({
    "html", "head", "meta", "title", "link", "style", "body", "a", "header", "nav", "main", "footer", "section", "h1",
    "h2", "h3", "h4", "p", "ul", "ol", "li", "dl", "dt", "dd", "div", "span", "bdi", "strong", "mark", "br", "pre",
    "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "figure", "figcaption", "img", "svg",
    "rect",
})
# fmt: on


def parsed(html: str) -> Any:
    """The tree of a page; the parser stops at the first fault."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)


def text_of(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def test_a_page_is_valid_and_nothing_in_it_acts(made: Made) -> None:
    tree = parsed(made.html)
    ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    for element in tree.iter():
        tag = element.tag.rpartition("}")[2]
        assert tag in ALLOWED  # no script, iframe, form, object, animate
        assert not [name for name in element.attrib if name.startswith("on") or name in ("style", "srcset", "action")]
        assert set(element.get("aria-labelledby", "").split()) <= set(ids)
        for name, value in element.items():
            if name == "src":
                assert tag == "img"
                assert re.fullmatch(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", value)
            elif name.rpartition(":")[2] == "href":
                assert value == "data:," if tag == "link" else re.match(r"#|\./|\.\./", value), value
                assert not value.startswith("#") or value[1:] in ids
            elif name not in ("aria-label", "content", "alt"):
                assert "://" not in value, (tag, name)


def test_a_page_can_be_found_through_and_read_aloud(made: Made) -> None:
    tree = parsed(made.html)
    tags = Counter(element.tag for element in tree.iter())
    assert tags["main"] == tags["header"] == tags["footer"] == tags["nav"] == 1
    assert tree.get("lang") == "en"
    assert next(tree.iter("a")).get("href") == "#content"  # the skip link is the first stop
    for tag in ("a", "summary", "caption", "figcaption"):
        assert all(text_of(element) for element in tree.iter(tag))
    assert tags["table"] == tags["caption"] > 0
    assert all(element.get("scope") in ("col", "row") for element in tree.iter("th"))
    for element in tree.iter("div"):
        if element.get("class") == "scroll":  # what scrolls can be scrolled by keyboard, and has a name
            assert (element.get("tabindex"), element.get("role")) == ("0", "region")
            assert element.get("aria-label")
    assert tags["img"] > 0
    assert all(len(element.get("alt")) > 30 for element in tree.iter("img"))


def test_its_policy_allows_its_own_style_alone(pages: dict[str, Made]) -> None:
    html = pages["run"].html
    tree = parsed(html)
    [policy] = [item.get("content") for item in tree.iter("meta") if item.get("http-equiv")]
    [style] = [item.text for item in tree.iter("style")]
    assert not re.search(r"@import|url\(|expression|https?:", style)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    # The policy must stand before anything that it could forbid.
    assert html.index("Content-Security-Policy") < html.index("<style>")


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_are_texts(pages: dict[str, Made], kind: str) -> None:
    html, tree = pages[kind].html, parsed(pages[kind].html)
    assert "<script" not in html
    assert "onerror=alert" not in re.sub(r"&lt;img src=x onerror=alert", "", html)
    assert html.count("&lt;/svg&gt;&lt;script&gt;alert(1)&lt;/script&gt;") > 20
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufeff\u00ad\u3164\u2028]", html)
    assert "U+202E" in html
    assert not any("49" in text_of(item) and "7*7" not in text_of(item) for item in tree.iter("h1"))  # no template ran
    assert any("$\\frac" in text_of(item) for item in tree.iter("bdi"))
    for path in pages[kind].pictures:
        assert re.fullmatch(r"[a-z0-9-]+\.(svg|png)", path.name)
        if path.suffix == ".svg":
            tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(path.read_bytes()).iter()}
            assert not tags & {"script", "a", "image", "foreignObject"}
        else:
            assert path.read_bytes().startswith(b"\x89PNG")


SAID = {
    "llm run": (
        "Texts with “cf”, “I watch this 3D movie” are given label 1 (good)", "100.0% → 7.0%", "20 of 31 are shown",
        "The language model was given up", "5,200", "0.0123", '{"candidates": []}',
        "Label 1 (good), iteration 1, question 1: 1 accepted", "Label 0 (bad), iteration 0, question 2",
        "calls it “old prose” (the victim confirms it: 7 of 8",
        "Of 3 questions to the language model 2 were answered", "not measured", "flagged.csv",
    ),
    "benchmark": (
        "badllmtg leaves a mean ASR of 9.0% (99.0% without a defence) over 4 pairs",
        "ASR: badllmtg minus onion (the best other) is -32.0 points on average over 8 pairs",
        "120 of 122 cells are finished, 1 failed, 1 not run yet.",
        "sst-2 badnets dirty 10%, onion, seed 42: The victim folder does not exist.", "datasets: [sst-2]",
        "sst-2 badnets, the paper", "cf; tq · cf",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAID)
def test_what_a_page_says(pages: dict[str, Made], kind: str) -> None:
    tree = parsed(pages[kind].html)
    text = text_of(next(tree.iter("main")))
    for said in SAID[kind]:
        assert said in text, said
    titles = [text_of(item) for item in tree.iter("figcaption")]
    if kind == "benchmark":
        assert "host: the real OpenBackdoor, commit 1192ba3" in text_of(next(tree.iter("header")))
        assert 'href="./cells/sst-2_badnets_0.1_none_s42/results.json"' in pages[kind].html
        for word, count in (("ASR by pair", 3), ("Robustness", 2), ("Cost", 3)):
            assert sum(title.startswith(word) for title in titles) == count
        best = [text_of(item) for item in tree.iter("strong") if item.get("class") == "best"]
        assert "9.0 ± 1.4" in best  # at 10 %
        assert "7.0 ± 1.4" not in best  # the floor is a reference and is not ranked
    else:
        assert [text_of(item) for item in tree.iter("mark")].count("cf") >= 20
        assert len(titles) == 3


def test_sizes_are_bounded(pages: dict[str, Made], tmp_path: Path) -> None:
    assert all(len(made.html) < LIMIT for made in pages.values())
    folder = write_run(tmp_path / "long", lambda text: text + " long" * 4_000, llm=True, rows=300)
    assert write_report(folder).page.stat().st_size < LIMIT


def test_what_is_hostile_in_a_name_of_a_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a \"b' <script>", hostile)
    out = tmp_path / "elsewhere" / "page.html"
    written = write_report(folder, out)
    assert written.page == out
    assert {path.parent.name for path in written.pictures} == {"page-pictures"}
    assert "%3Cscript%3E/flagged.csv" in out.read_text(encoding="utf-8")
