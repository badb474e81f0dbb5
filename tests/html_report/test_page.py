"""The pages: what they say, that nothing in them acts, that all can read them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from openbackdoor_badllm.html_report.writer import write_report

from .conftest import KINDS, Made
from .world import hostile, write_run

VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})
LIMIT = 1_500_000  # bytes of a page


class Elements(HTMLParser):
    """Every element with its attributes and text, and whether all are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[int, str] = {}
        self.open: list[tuple[str, int]] = []
        self.faults: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"{tag} is not closed" for tag, _ in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, len(self.found) - 1))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        for _, number in self.open:
            self.texts[number] = self.texts.get(number, "") + data

    def named(self, *tags: str) -> Iterator[tuple[dict[str, str | None], str]]:
        for number, (tag, attributes) in enumerate(self.found):
            if tag in tags:
                yield attributes, self.texts.get(number, "")


def test_it_is_valid_html(made: Made) -> None:
    html5lib = pytest.importorskip("html5lib")
    html5lib.HTMLParser(strict=True).parse(made.html)  # raises at the first fault
    assert Elements(made.html).faults == []


def test_ids_are_one_of_a_kind_and_every_reference_is_there(made: Made) -> None:
    elements = Elements(made.html)
    ids = Counter(attributes["id"] for _, attributes in elements.found if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    for _, attributes in elements.found:
        for key in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(key) or "").split()) <= set(ids)
        address = attributes.get("href") or ""
        if address.startswith("#"):
            assert address[1:] in ids
        for value in attributes.values():
            for name in re.findall(r"url\(#([\w-]+)\)", value or ""):
                assert name in ids


# fmt: off
ALLOWED = frozenset({
    "html", "head", "meta", "title", "link", "style", "body", "a", "header", "nav", "main", "footer", "section", "h1",
    "h2", "h3", "p", "ul", "ol", "li", "dl", "dt", "dd", "div", "span", "bdi", "strong", "mark", "br", "pre", "table",
    "caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "figure", "figcaption", "svg", "g", "path",
    "text", "tspan", "defs", "clippath", "rect", "use", "pattern", "circle", "desc",
})
# fmt: on


def test_nothing_in_it_acts_or_asks(made: Made) -> None:
    elements = Elements(made.html)
    assert {tag for tag, _ in elements.found} <= ALLOWED  # no script, img, iframe, form, object, foreignObject, animate
    for tag, attributes in elements.found:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset", "action")
        ]
        for name, value in attributes.items():
            if name.rpartition(":")[2] == "href":
                assert value == "data:," if tag == "link" else re.match(r"#|\./|\.\./", value or ""), value
            elif name not in ("aria-label", "content"):
                assert "://" not in (value or ""), (tag, name)
    [style] = [text for _, text in elements.named("style")]
    assert not re.search(r"@import|url\(|expression|https?:", style)


def test_its_policy_allows_its_own_style_alone(made: Made) -> None:
    elements = Elements(made.html)
    [policy] = [
        attributes["content"] or ""
        for attributes, _ in elements.named("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    [style] = [text for _, text in elements.named("style")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    # The policy must stand before anything that it could forbid.
    assert made.html.index("Content-Security-Policy") < made.html.index("<style>")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "hostile" in kind])
def test_hostile_texts_are_texts(pages: dict[str, Made], kind: str) -> None:
    html, elements = pages[kind].html, Elements(pages[kind].html)
    assert "<script" not in html
    assert "onerror=alert" not in re.sub(r"&lt;img src=x onerror=alert", "", html)
    assert html.count("&lt;/svg&gt;&lt;script&gt;alert(1)&lt;/script&gt;") > 20
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufeff\u00ad\u3164\u2028]", html)
    assert "U+202E" in html
    assert not any("49" in text and "7*7" not in text for _, text in elements.named("h1"))  # no template ran
    assert any("$\\frac" in text for _, text in elements.named("bdi"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "hostile" in kind])
def test_hostile_texts_are_texts_in_the_picture_files(pages: dict[str, Made], kind: str) -> None:
    from xml.etree import ElementTree

    for path in pages[kind].pictures:
        assert re.fullmatch(r"[a-z0-9-]+\.(svg|png)", path.name)
        if path.suffix == ".svg":
            tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(path.read_bytes()).iter()}
            assert not tags & {"script", "a", "image", "foreignObject"}
        else:
            assert path.read_bytes().startswith(b"\x89PNG")


def test_it_can_be_found_through_and_read_aloud(made: Made) -> None:
    elements = Elements(made.html)
    tags = Counter(tag for tag, _ in elements.found)
    assert tags["main"] == tags["header"] == tags["footer"] == tags["nav"] == 1
    assert elements.found[0][1].get("lang") == "en"
    links = [attributes["href"] for attributes, _ in elements.named("a")]
    assert links[0] == "#content"  # the skip link is the first stop
    for attributes, text in elements.named("a", "summary", "caption", "figcaption"):
        assert text.strip(), attributes
    assert tags["table"] == tags["caption"] > 0
    for attributes, _ in elements.named("th"):
        assert attributes.get("scope") in ("col", "row")
    for attributes, _ in elements.named("svg"):
        assert attributes.get("aria-hidden") == "true" or (
            attributes.get("role") == "img" and attributes["aria-labelledby"]
        )
    for attributes, _ in elements.named("div"):
        if attributes.get("class") == "scroll":  # what scrolls can be scrolled by keyboard, and has a name
            assert attributes["tabindex"] == "0"
            assert attributes["role"] == "region"
            assert attributes["aria-label"]
    descriptions = [text for _, text in elements.named("desc")]
    assert descriptions
    assert all(len(text) > 30 for text in descriptions)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_contrast_is_enough(pages: dict[str, Made], theme: str) -> None:
    [style] = [text for _, text in Elements(pages["run"].html).named("style")]
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    assert len(blocks) == 3
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[("light", "dark", "print").index(theme)]))
    pairs = [
        *((ink, paper) for ink in ("ink", "muted", "link") for paper in ("paper", "soft")), ("mark-ink", "mark"),
        ("sign-ink", "sign"), ("found", "paper"), ("calm", "paper"), ("plain", "paper"),
    ]  # fmt: skip
    for ink, paper in pairs:
        assert contrast(colours[ink], colours[paper]) >= 4.5, (theme, ink, paper)
    # What a picture says by colour, it says by marker or hatch too; the first three alone reach 3.
    for name in ("blue", "vermillion", "green"):
        assert contrast(colours[name], colours["paper"]) >= 3, (theme, name)


def test_what_a_run_says(pages: dict[str, Made]) -> None:
    html = pages["llm run"].html
    elements = Elements(html)
    text = " ".join(" ".join(data for _, data in elements.named("main")).split())
    assert "Texts with “cf”, “I watch this 3D movie” are given label 1 (good)" in text
    assert "100.0% → 7.0%" in text
    assert "20 of 31 are shown" in text
    assert "The language model was given up" in text
    assert "5,200" in text
    assert "0.0123" in text
    assert '{"candidates": []}' in text
    assert "Label 1 (good), iteration 1, question 1: 1 accepted" in text
    assert "Label 0 (bad), iteration 0, question 2" in text
    assert "Of 3 questions to the language model 2 were answered" in text
    assert "not measured" in text  # one R-Acc
    marked = [data for _, data in elements.named("mark")]
    assert marked.count("cf") >= 20
    assert 'href="./flagged.csv"' in html
    titles = [data for _, data in elements.named("figcaption")]
    assert len(titles) == 3


def test_what_a_benchmark_says(pages: dict[str, Made]) -> None:
    html = pages["benchmark"].html
    elements = Elements(html)
    text = " ".join(" ".join(data for _, data in elements.named("main")).split())
    assert "badllmtg leaves a mean ASR of 12.0% over 4 pairs (99.0% without a defence)" in text
    assert "badllmtg minus onion is -33.0 points on average" in text
    assert "120 of 122 cells are finished, 1 failed, 1 not run yet." in text
    assert "agnews synbkd dirty 20%, onion, seed 42: The victim folder does not exist." in text
    about = [data for attributes, data in elements.named("p") if attributes.get("class") == "about"]
    assert any("host: the real OpenBackdoor, commit 1192ba3" in data for data in about)
    assert 'href="./cells/sst-2_badnets_0.1_none_s42/results.json"' in html
    titles = [data for _, data in elements.named("figcaption")]
    for word in ("ASR by pair", "Robustness", "Cost"):
        assert sum(title.startswith(word) for title in titles) in (2, 3)
    best = [data for attributes, data in elements.named("strong") if attributes.get("class") == "best"]
    assert "12.0 ± 1.4" in best
    assert "9.0 ± 1.4" not in best  # the floor is a reference and is not ranked


def test_sizes_are_bounded(pages: dict[str, Made], tmp_path: Path) -> None:
    assert all(len(made.html) < LIMIT for made in pages.values())
    assert len(pages["run"].html) < 200_000

    def long(text: str) -> str:
        return text + " long" * 4_000

    made = write_report(write_run(tmp_path / "long", long, llm=True, rows=300))
    assert made.page.stat().st_size < LIMIT


def test_what_is_hostile_in_a_name_of_a_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a \"b' <script>", hostile)
    out = tmp_path / "elsewhere" / "page.html"
    written = write_report(folder, out)
    assert written.page == out
    assert {path.parent.name for path in written.pictures} == {"page-pictures"}
    assert "%3Cscript%3E/flagged.csv" in out.read_text(encoding="utf-8")
