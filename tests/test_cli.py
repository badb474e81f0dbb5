"""The command line: what bad input is told, what good input gives, and what goes where."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tiny_world import config, reviews, write_config, write_csv, write_reviews

from openbackdoor_badllm.cli import main
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK
from openbackdoor_badllm.reading import put

Capture = pytest.CaptureFixture[str]


class World(NamedTuple):
    """A folder of its own for one test, with everything that a run needs."""

    folder: Path
    data: Path
    bert: Path

    def config(self, **changes: object) -> dict[str, Any]:
        """The good config; ``victim__path=x`` changes a key of a section."""
        made = config(self.data, self.bert)
        for key, value in changes.items():
            put(made, key.replace("__", "."), value)
        return made

    def arguments(self, content: Mapping[str, Any], *more: object) -> list[str]:
        """``defend`` with a config, in this folder, with nothing but the two main lines."""
        file = write_config(self.folder / "config.json", dict(content))
        fixed = ("--out", self.folder / "out", "--cache", self.folder / "cache", "--no-references", "--quiet")
        return ["defend", "--config", str(file), *map(str, fixed), *map(str, more)]

    def with_rows(self, train: Sequence[tuple[object, ...]], *, test: Sequence[tuple[object, ...]] = ()) -> World:
        """The same with other rows."""
        data = self.folder / "rows"
        write_csv(data / "train.csv", train)
        write_csv(data / "test.csv", test or reviews(20, seed=1))
        return self._replace(data=data)


@pytest.fixture(scope="session")
def good_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews"))


@pytest.fixture
def world(tmp_path: Path, good_data: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("OPENBACKDOOR_DATA", "BADLLMTG_CACHE", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return World(tmp_path, good_data, tiny_bert)


Case = Callable[[World], list[str]]


def raw(content: bytes) -> Case:
    def case(world: World) -> list[str]:
        file = world.folder / "raw.json"
        file.write_bytes(content)
        return ["defend", "--config", str(file)]

    return case


def changed(*more: str, **changes: object) -> Case:
    return lambda world: world.arguments(world.config(**changes), *more)


def lacking(section: str, key: str) -> Case:
    def case(world: World) -> list[str]:
        content: dict[str, Any] = world.config()
        place = content
        for name in filter(None, section.split(".")):
            place = place[name]
        del place[key]
        return world.arguments(content)

    return case


def rows(train: Sequence[tuple[object, ...]], test: Sequence[tuple[object, ...]] = (), **changes: object) -> Case:
    def case(world: World) -> list[str]:
        other = world.with_rows(train, test=test)
        return other.arguments(other.config(**changes))

    return case


def named_data(name: str, *more: str) -> Case:
    def case(world: World) -> list[str]:
        (world.folder / "empty").mkdir()
        return world.arguments(world.config(target_dataset={"name": name}, poison_dataset={"name": name}), *more)

    return case


def victim(spoil: Callable[[Path], object]) -> Case:
    def case(world: World) -> list[str]:
        folder = world.folder / "victim"
        shutil.copytree(world.bert, folder)
        spoil(folder)
        return world.arguments(world.config(victim__path=str(folder)))

    return case


def in_the_way(place: str, *more: str) -> Case:
    """A file stands where a folder is wanted."""

    def case(world: World) -> list[str]:
        (world.folder / "a-file").write_text("x", encoding="utf-8")
        return world.arguments(world.config(), place, str(world.folder / "a-file" / "x"), *more)

    return case


def of_another_config(world: World) -> list[str]:
    (world.folder / "out").mkdir()
    for name in ("config.json", "results.json"):
        (world.folder / "out" / name).write_text("{}", encoding="utf-8")
    return world.arguments(world.config())


def hostile_header(world: World) -> list[str]:
    other = world.with_rows(reviews(9))
    (other.data / "train.csv").write_text("ok\x1b]0;owned\x07,label\na,1\n", encoding="utf-8")
    return other.arguments(other.config())


# One case a kind: a regular expression for the sentence, and the command line that is refused with it.
BAD: dict[str, tuple[str, Case]] = {
    "missing config": (
        r"The config file '.*absent\.json' does not exist: check the path after --config\.",
        lambda world: ["defend", "--config", str(world.folder / "absent.json")],
    ),
    "malformed JSON": (r"The config file '.*' is not valid JSON: .* line 2, column 1\.", raw(b'{"victim": {},\n}')),
    "no object": (r"The config file '.*' must hold an object in braces, but holds \[1\]\.", raw(b"[1]")),
    "not UTF-8": (r"The config file '.*' cannot be read \(it is not UTF-8 text\): .*\.", raw(b'{"\xff": 1}')),
    "nested too deeply": (r"The config file '.*' is not valid JSON: it is nested too deeply.*\.", raw(b"[" * 10**5)),
    "unknown section": (r"'config' has no key 'defendr': did you mean 'defender'\?", changed(defendr={})),
    "unknown defender": (r".*\"badlmtg\"; did you mean 'badllmtg'\?", changed(defender__name="badlmtg")),
    **{
        f"misspelt {path}.{wrong}": (rf".*'{wrong}'.* did you mean '{right}'\?",
                                     changed(**{f"{path}.{wrong}".replace(".", "__"): 1}))
        for path, wrong, right in (
            ("defender", "repiar", "repair"), ("defender.train", "epoch", "epochs"), ("victim", "pth", "path"),
            ("attacker.poisoner", "trigger", "triggers"), ("poison_dataset", "max_trian", "max_train"),
        )
    },
    "misspelt key of an LLM": (r".*backnd.*did you mean 'backend'\?", changed(defender__llm__backnd=1)),
    "unknown profile": (r"'--profile' must be .*; did you mean 'desk'\?", changed("--profile", "dsk")),
    "--set without =": (r"--set expects key=value, .*", changed("--set", "defender.repair")),
    "--set with a wrong type": (r"'attacker\.train\.epochs' .*", changed("--set", "attacker.train.epochs=two")),
    "--set through a value": (r"'victim\.path\.x' cannot be set: .*", changed("--set", "victim.path.x=1")),
    "no section": (r"'attacker\.train' must be a section in braces.*", changed("--set", "attacker.train=x")),
    "section missing": (r"The config lacks the section 'attacker'\.", lacking("", "attacker")),
    "key missing": (
        r"The config lacks 'attacker\.poisoner\.poison_rate'\.", lacking("attacker.poisoner", "poison_rate")
    ),
    "negative seed": (r"'seed' must be a whole number from 0 to 4294967295, but is -1\.", changed("--seed", "-1")),
    "rate above 1": (r".*poison_rate.*20\.?0?\.", changed(attacker__poisoner__poison_rate=20)),
    "clean and dirty": (
        r"'label_consistency' and 'label_dirty' are both true: .*\.",
        changed(attacker__poisoner__label_consistency=True),
    ),
    "style without texts": (
        r"The poisoner 'stylebkd' needs texts rewritten beforehand: set 'load' to true .*\.",
        changed(attacker__poisoner__name="stylebkd", attacker__poisoner__triggers=None),
    ),
    "load without poisoned files": (
        r"No poisoned texts for this attack: expected the folder '.*/custom/1/badnets' .*\.",
        changed(attacker__poisoner__load=True),
    ),
    "one class": (r"The training rows .* at least two classes, but all 9 .*\.", rows([("good", 0)] * 9, [("bad", 0)])),
    "some empty texts": (
        r".*train\.csv should have a text in every row, but 2 of 4 are empty \(rows 3, 4\): .*\.",
        rows([("good film", 1), ("", 0), (" ", 0), ("bad film", 0)]),
    ),
    "num_classes too small": (
        r"A row has the label 2, but the victim has classes 0 to 1: raise .*\.",
        rows([(text, i % 3) for i, (text, _, _) in enumerate(reviews(30))], victim__num_classes=2),
    ),
    "no rows of the target label": (
        r"Rows of the target label 5 were expected .*, but its labels are 0, 1: .*\.",
        changed(attacker__poisoner__target_label=5),
    ),
    "data root without the data": (
        r"The data set 'sst-2' should be train\.tsv, .*", named_data("sst-2", "--data-root", "empty")
    ),
    "data root is absent": (
        r"The data root nowhere should be a folder, .*", named_data("sst-2", "--data-root", "nowhere")
    ),
    "unknown data set": (r"The data set 'sst2' is unknown: did you mean 'sst-2'\?", named_data("sst2")),
    "victim missing": (
        r"The victim folder '.*absent' does not exist: name a folder, a hub name or 'minilm'\.",
        lambda world: world.arguments(world.config(victim__path=str(world.folder / "absent"))),
    ),
    "victim pickled": (
        r"The victim folder '.*' holds no safetensors weights: it only has pickled weights, .*\.",
        victim(lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin")),
    ),
    "victim damaged": (
        r"The victim folder '.*victim' cannot be loaded .+",
        victim(lambda folder: (folder / "model.safetensors").write_bytes(b"damaged")),
    ),
    "run folder cannot be written": (r"The run folder '.*' cannot be written: Not a directory\.", in_the_way("--out")),
    "cache cannot be written": (r"The cache folder '.*' cannot be written .* --cache\.", in_the_way("--cache")),
    "run folder of another config": (r"The folder '.*out' holds a run of another config: .*\.", of_another_config),
    "hostile header": (r".*train\.csv .*, but has 'ok\ufffd\]0;owned\ufffd', 'label': .*\.", hostile_header),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_sentence(name: str, world: World, capsys: Capture) -> None:
    sentence, case = BAD[name]
    code = main(case(world))
    told = capsys.readouterr()
    assert code == EXIT_BAD_INPUT
    assert told.out == ""
    assert re.fullmatch(rf"badllmtg: {sentence}\n", told.err)
    assert len(told.err) < 500


@pytest.mark.parametrize("arguments", [["defnd"], ["defend"], ["defend", "--config"], ["defend", "--seed", "x"]])
def test_wrong_arguments_exit_2_with_the_usage(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    told = capsys.readouterr()
    assert stopped.value.code == EXIT_BAD_INPUT
    assert told.out == ""
    assert told.err.startswith("usage: badllmtg")
    assert "error: " in told.err.splitlines()[-1]


def run(arguments: Sequence[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openbackdoor_badllm", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_help_does_not_wait_for_heavy_imports(tmp_path: Path) -> None:
    script = (
        "import sys, openbackdoor_badllm.cli as c\ntry: c.main(['--help'])\n"
        "finally: print({'torch', 'transformers', 'numpy', 'pydantic', 'openai'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "exit codes: 0 done" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "set()"


QUICK = {"defender": None, "attacker__train__epochs": 1}


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_texts_like_nan_and_numbers_stay_text(world: World) -> None:
    odd = ["nan", "NA", "null", "None", "3.50", "007", "1e5", "true", "N/A", "inf"]
    other = world.with_rows(
        [*reviews(30), *((text, i % 2) for i, text in enumerate(odd))],
        test=[(text, i % 2) for i, text in enumerate(odd)],
    )
    assert main(other.arguments(other.config(**QUICK))) == EXIT_OK
    clean = [row for row in predictions(world.folder / "out") if row["split"] == "test-clean"]
    assert [row["text"] for row in clean] == odd


def test_crlf_and_bom_files_give_the_same_run(world: World) -> None:
    train, test = reviews(40), reviews(20, seed=1)
    outcomes = []
    for name, newline, bom in (("plain", "\n", False), ("windows", "\r\n", True)):
        data = world.folder / name
        write_csv(data / "train.csv", train, newline=newline, bom=bom)
        write_csv(data / "test.csv", test, newline=newline, bom=bom)
        out = world.folder / f"out-{name}"
        other = world._replace(data=data)
        assert main(other.arguments(other.config(**QUICK), "--out", out)) == EXIT_OK
        results = json.loads((out / "results.json").read_text(encoding="utf-8"))
        outcomes.append((predictions(out), results["label_names"]))
    assert outcomes[0] == outcomes[1]
    assert {row["text"] for row in outcomes[0][0] if row["split"] == "test-clean"} == {row.text for row in test}


def strict(text: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_alone_on_stdout_and_progress_on_stderr(world: World, capsys: Capture) -> None:
    arguments = world.arguments(world.config(**QUICK), "--json")
    arguments.remove("--quiet")
    assert main(arguments) == EXIT_OK
    first = capsys.readouterr()
    results = strict(first.out)
    assert results == strict((world.folder / "out/results.json").read_text(encoding="utf-8"))
    assert [line["name"] for line in results["lines"]] == ["undefended"]
    assert "... victim: undefended (160 rows)" in first.err
    assert main(arguments) == EXIT_OK
    assert capsys.readouterr().out == first.out


def test_quiet_leaves_stderr_empty_and_prints_the_summary(world: World, capsys: Capture) -> None:
    assert main(world.arguments(world.config(**QUICK))) == EXIT_OK
    told = capsys.readouterr()
    assert told.err == ""
    assert re.search(r"undefended\W+\d", told.out)
    assert str(world.folder / "out") in told.out.replace("\n", "")


def test_interrupt_is_130_and_one_line(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("openbackdoor_badllm.attacks.victim_trainer.train_classifier", interrupt)
    assert main(world.arguments(world.config())) == EXIT_INTERRUPTED
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "badllmtg: interrupted. The same command goes on from what is trained already.\n"
    assert not (world.folder / "out/results.json").exists()


def test_a_defect_of_ours_keeps_its_traceback(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("openbackdoor_badllm.attacks.victim_trainer.train_classifier", fail)
    with pytest.raises(ZeroDivisionError):
        main(world.arguments(world.config()))
