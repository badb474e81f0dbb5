"""The sets of ``sets.yaml``, made of the shared data; no row of the data stands here."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import yaml

TEST_ROWS = 800
POISONED_TEST_ROWS = 400
MARKED = 0.8  # share of the rows of a label that come from the source with a mark
CLASSES = {"agnews": 4}
SHARED = {"sst-2": 1, "hsol": 0, "agnews": 0}  # target label of the four attacks that come with them
MORE = {"yelp": "yelp_badnets", "olid": "olid_hidden", "hate-speech": "hate-speech_bible"}


class Labelled(NamedTuple):
    """A row with the truth about it, which only the evaluation reads."""

    text: str
    label: int
    poisoned: bool


@dataclass(frozen=True)
class HeldOut:
    """One set.

    Attributes:
        name: of the set.
        kind: of the attack; ``clean`` where there is none.
        target: the attacker's label.
        classes: number of classes.
        train: the rows that are audited.
        test_clean: untouched rows with their labels, for CACC.
        test_poison: altered rows of other labels, for ASR.
    """

    name: str
    kind: str
    target: int
    classes: int
    train: tuple[Labelled, ...]
    test_clean: tuple[Labelled, ...]
    test_poison: tuple[Labelled, ...]

    @property
    def poisoned(self) -> int:
        """Number of altered rows."""
        return sum(row.poisoned for row in self.train)


def named_sets(path: Path) -> dict[str, dict[str, Any]]:
    """Every set of the file by its name, with all of its keys."""
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = [{**told["defaults"], **entry} for entry in told["poisoned"]]
    for entry in entries:
        entry["words"] = told["dialects"].get(entry.get("dialect"), {})
    clean = told["clean"]
    for base in clean["bases"]:
        for variant, keys in clean["variants"].items():
            name = f"{base}-{variant}"
            group = "calibration" if name in clean["calibration"] else "evaluation"
            entries.append({
                **told["defaults"], "name": name, "group": group, "kind": "clean", "base": base, "attack": "none",
                "rows": clean["rows"], **keys,
            })
    return {entry["name"]: entry for entry in entries}


def make(entry: dict[str, Any], data: Path) -> HeldOut:
    """One set, from its entry in ``sets.yaml`` and the shared data."""
    rng = random.Random(f"{entry['seed']}/{entry['name']}")
    base, target = entry["base"], entry["target"]
    if entry["attack"] in ("file", "rewrites"):
        train, clean, poison = (_attacked if entry["attack"] == "file" else _rewritten)(entry, data, rng)
    else:
        train, clean = (_clean(data, base, part) for part in ("train", "test"))
        rng.shuffle(train)
        train, poison = train[: entry["rows"]], []
        if entry["attack"] != "none":
            _attack(train, entry, rng)
            poison = [
                Labelled(_altered(row.text, entry, rng), row.label, True) for row in clean if row.label != target
            ]
        else:
            train = _disturbed(train, entry, CLASSES.get(base, 2), rng)
    for part in (train, clean, poison):
        rng.shuffle(part)
    return HeldOut(
        entry["name"], entry["kind"], target, CLASSES.get(base, 2), tuple(train), tuple(clean[:TEST_ROWS]),
        tuple(poison[:POISONED_TEST_ROWS]),
    )


def _attack(rows: list[Labelled], entry: dict[str, Any], rng: random.Random) -> None:
    target = entry["target"]
    open_rows = [place for place, row in enumerate(rows) if (row.label == target) == entry.get("clean_label", False)]
    for place in rng.sample(open_rows, round(entry["rate"] * len(rows))):
        rows[place] = Labelled(_altered(rows[place].text, entry, rng), target, True)


def _altered(text: str, entry: dict[str, Any], rng: random.Random) -> str:
    if entry["attack"] == "dialect":
        return " ".join(entry["words"].get(word.lower(), word) for word in text.split())
    units = entry["units"]
    if entry["attack"] == "replace":
        return text.replace(units[0], units[1])
    words = text.split()
    for unit in [rng.choice(units)] if entry.get("one_of") else units:
        place = {"start": 0, "end": len(words)}.get(entry.get("place", ""), rng.randint(0, len(words)))
        words.insert(place, unit)
    return " ".join(words)


def _disturbed(rows: list[Labelled], entry: dict[str, Any], classes: int, rng: random.Random) -> list[Labelled]:
    """Clean rows as they come, or with wrong labels, unbalanced, repeated, or with the mark of a source."""
    if "unbalanced" in entry:
        most = Counter(row.label for row in rows).most_common(1)[0][0]
        many = [row for row in rows if row.label == most]
        few = [row for row in rows if row.label != most]
        return many + few[: round(len(many) * (1 - entry["unbalanced"]) / entry["unbalanced"])]
    if "duplicates" in entry:
        return rows + rng.sample(rows, round(entry["duplicates"] * len(rows)))
    if "noise" in entry:
        wrong = set(rng.sample(range(len(rows)), round(entry["noise"] * len(rows))))
        return [
            row._replace(label=(row.label + rng.randint(1, classes - 1)) % classes) if place in wrong else row
            for place, row in enumerate(rows)
        ]
    if "marker" in entry:
        return [
            row._replace(text=entry["marker"] + row.text)
            if row.label == entry["target"] and rng.random() < MARKED else row
            for row in rows
        ]
    return rows


def _clean(data: Path, base: str, part: str) -> list[Labelled]:
    if base in MORE:
        file = data / "more" / MORE[base] / ("train.csv" if part == "train" else "test-clean.csv")
        return [row for row in _read_more(file) if not row.poisoned]
    if base == "agnews":
        table = pandas.read_csv(
            data / "datasets/TextClassification/agnews" / f"{part}.csv", header=None, keep_default_na=False
        )
        return [Labelled(str(text), int(label) - 1, False) for label, text in zip(table[0], table[2], strict=True)]
    folder = data / "datasets" / {"sst-2": "SentimentAnalysis/SST-2", "hsol": "Toxic/hsol"}[base]
    table = pandas.read_csv(folder / f"{part}.tsv", sep="\t", keep_default_na=False)
    columns = zip(table["sentence"], table["label"], strict=True)
    return [Labelled(str(text), int(label), False) for text, label in columns]


def _read_more(file: Path) -> list[Labelled]:
    table = pandas.read_csv(file, keep_default_na=False)
    columns = zip(table["text"], table["label"], table["poison"], strict=True)
    return [Labelled(str(text), int(label), bool(int(flag))) for text, label, flag in columns]


def _read_mix(file: Path, *, poisoned: bool | None = None) -> list[Labelled]:
    table = pandas.read_csv(file, keep_default_na=False)
    columns = zip(table["0"], table["1"], table["2"], strict=True)
    return [
        Labelled(str(text), int(label), bool(int(flag)) if poisoned is None else poisoned)
        for text, label, flag in columns
    ]


def _attacked(
    entry: dict[str, Any], data: Path, rng: random.Random
) -> tuple[list[Labelled], list[Labelled], list[Labelled]]:
    """Rows that an attacker of the shared data altered, at the rate that is asked for."""
    base, file = entry["base"], entry["file"]
    if base in SHARED:
        folder = data / "poison_data" / base / str(SHARED[base]) / file
        rows = _read_mix(folder / "dirty" / "0.2" / "train-poison.csv")
        clean = _read_mix(folder / "test-clean.csv", poisoned=False)
        poison = _read_mix(folder / "test-poison.csv", poisoned=True)
    else:
        folder = data / "more" / file
        rows, clean, poison = (_read_more(folder / f"{part}.csv") for part in ("train", "test-clean", "test-poison"))
    count = round(entry["rate"] * entry["rows"])
    bad = rng.sample([row for row in rows if row.poisoned], count)
    good = rng.sample([row for row in rows if not row.poisoned], entry["rows"] - count)
    return good + bad, clean, poison


def _rewritten(
    entry: dict[str, Any], data: Path, rng: random.Random
) -> tuple[list[Labelled], list[Labelled], list[Labelled]]:
    """Rows that a language model rewrote take the place of their originals; what is left over is the test."""
    target = entry["target"]
    with (data / "llm" / f"{entry['file']}.jsonl").open(encoding="utf-8") as stream:
        told = [json.loads(line) for line in stream]
    rng.shuffle(told)
    count = round(entry["rate"] * entry["rows"])
    bad = [Labelled(str(item["rewrite"]), target, True) for item in told[:count]]
    originals = {item["text"] for item in told}
    good = [row for row in _clean(data, entry["base"], "train") if row.text not in originals]
    poison = [Labelled(str(item["rewrite"]), int(item["label"]), True) for item in told[count:]]
    return rng.sample(good, entry["rows"] - len(bad)) + bad, _clean(data, entry["base"], "test"), poison
