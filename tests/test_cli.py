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

import openbackdoor_badllm
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


# -- bad input: exit 2, one sentence, nothing else -----------------------------------------------------------

Case = Callable[[World], list[str]]
BAD: dict[str, tuple[str, Case]] = {}


def bad(name: str, sentence: str) -> Callable[[Case], Case]:
    """Registers a case under the regular expression that its sentence must match in full."""

    def register(case: Case) -> Case:
        BAD[name] = (sentence, case)
        return case

    return register


def raw(content: bytes) -> Case:
    def case(world: World) -> list[str]:
        file = world.folder / "raw.json"
        file.write_bytes(content)
        return ["defend", "--config", str(file)]

    return case


def changed(*more: str, **changes: object) -> Case:
    return lambda world: world.arguments(world.config(**changes), *more)


def lacking(path: str) -> Case:
    def case(world: World) -> list[str]:
        content: dict[str, Any] = world.config()
        *sections, key = path.split(".")
        place = content
        for section in sections:
            place = place[section]
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
        section = {"name": name}
        (world.folder / "a-file").write_text("x", encoding="utf-8")
        (world.folder / "empty").mkdir()
        return world.arguments(world.config(target_dataset=section, poison_dataset=section), *more)

    return case


def victim(spoil: Callable[[Path], None]) -> Case:
    def case(world: World) -> list[str]:
        folder = world.folder / "victim"
        shutil.copytree(world.bert, folder)
        spoil(folder)
        return world.arguments(world.config(victim__path=str(folder)))

    return case


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


bad("missing config", r"The config file '.*absent\.json' does not exist: check the path after --config\.")(
    lambda world: ["defend", "--config", str(world.folder / "absent.json")]
)
bad("config is a folder", r"The config file '.*' cannot be read \(Is a directory\): name a JSON file\.")(
    lambda world: ["defend", "--config", str(world.folder)]
)
bad("malformed JSON", r"The config file '.*' is not valid JSON: .* at line 2, column 1\.")(raw(b'{"victim": {},\n}'))
bad("no object", r"The config file '.*' must hold an object in braces, but holds \[1\]\.")(raw(b"[1]"))
bad("not UTF-8", r"The config file '.*' cannot be read \(it is not UTF-8 text\): name a JSON file\.")(
    raw(b'{"\xff": 1}')
)
bad("nested too deeply", r"The config file '.*' is not valid JSON: it is nested too deeply or .*\.")(raw(b"[" * 10**5))
bad("huge number", r"The config file '.*' is not valid JSON: .* or holds a huge number\.")(raw(b"9" * 5000))

bad("unknown section", r"'config' has no key 'defendr': did you mean 'defender'\?")(changed(defendr={}))
bad("unknown section by --set", r"'config' has no key 'defendr': did you mean 'defender'\?")(
    changed("--set", "defendr.repair=paper")
)
bad(
    "unknown defender",
    r"'defender\.name' must be 'badllmtg', .* or 'clean', but is \"badlmtg\"; did you mean 'badllmtg'\?",
)(changed(defender__name="badlmtg"))
for path, wrong, right in (
    ("defender", "repiar", "repair"),
    ("defender.search", "probe_row", "probe_rows"),
    ("defender.victim", "max_length", "max_len"),
    ("defender.train", "epoch", "epochs"),
    ("victim", "pth", "path"),
    ("attacker", "poisner", "poisoner"),
    ("attacker.train", "epoch", "epochs"),
    ("attacker.poisoner", "trigger", "triggers"),
):
    bad(f"misspelt key of {path}", rf"'{re.escape(path)}' has no key '{wrong}': did you mean '{right}'\?")(
        changed(**{f"{path}.{wrong}".replace(".", "__"): 1})
    )
bad("misspelt key of defender.llm", r"'defender\.llm' has no key 'backnd': did you mean 'backend'\?")(
    changed(defender__llm__backnd=1)
)
for section in ("target_dataset", "poison_dataset"):
    bad(f"misspelt key of {section}", r"'dataset' has no key 'max_trian': did you mean 'max_train'\?")(
        changed(**{f"{section}__max_trian": 9})
    )
bad("unknown profile", r"'--profile' must be 'smoke', 'desk' or 'full', but is \"dsk\"; did you mean 'desk'\?")(
    changed("--profile", "dsk")
)
bad("--set without =", r"--set expects key=value, for instance .*, but got 'defender\.repair'\.")(
    changed("--set", "defender.repair")
)
bad("--set with a wrong value", r"'defender\.repair' must be .*, but is \"papr\"; did you mean 'paper'\?")(
    changed("--set", "defender.repair=papr")
)
bad("--set with a wrong type", r"'attacker\.train\.epochs' must be a whole number of at least 1, but is \"two\"\.")(
    changed("--set", "attacker.train.epochs=two")
)
bad("--set through a value", r"'victim\.path\.x' cannot be set: 'path' is \".*\", not a section\.")(
    changed("--set", "victim.path.x=1")
)
for section in ("target_dataset", "poison_dataset", "attacker", "victim", "defender", "attacker.train"):
    bad(f"{section} is no section", rf"'{re.escape(section)}' must be a section in braces, but is \"x\"\.")(
        changed("--set", f"{section}=x")
    )
for section in ("target_dataset", "poison_dataset", "attacker"):
    bad(f"no {section}", rf"The config lacks the section '{section}'\.")(lacking(section))
for key in ("name", "poison_rate", "target_label"):
    bad(f"poisoner without {key}", rf"The config lacks 'attacker\.poisoner\.{key}'\.")(
        lacking(f"attacker.poisoner.{key}")
    )
bad("data set without name", r"The config lacks 'name': expected the sections .*, each with a name\.")(
    lacking("poison_dataset.name")
)
bad("clean-tune", r"'clean-tune' is not done by the built-in host: set it to false\.")(
    changed("--set", "clean-tune=true")
)
bad("negative seed", r"'seed' must be a whole number from 0 to 4294967295, but is -1\.")(changed("--seed", "-1"))
bad("seed of text", r"'seed' must be a whole number from 0 to 4294967295, but is \"abc\"\.")(
    changed("--set", "seed=abc")
)
bad("rate above 1", r"'attacker\.poisoner\.poison_rate' must be a number from 0 to 1, but is 20\.")(
    changed(attacker__poisoner__poison_rate=20)
)
bad("clean and dirty", r"'label_consistency' and 'label_dirty' are both true: .*\.")(
    changed(attacker__poisoner__label_consistency=True)
)
bad("endless learning rate", r"'attacker\.train\.lr' must be a number above 0, but is Infinity\.")(
    changed("--set", "attacker.train.lr=Infinity")
)
bad("no probes", r"'defender\.search\.probe_rows' must be a whole number of at least 1, but is 0\.")(
    changed(defender__search__probe_rows=0)
)
bad("unknown poisoner", r"'attacker\.poisoner\.name' must be .*, but is \"badnet\"; did you mean 'badnets'\?")(
    changed(attacker__poisoner__name="badnet")
)
bad("unknown metric", r"'attacker\.metrics' must be a list of 'accuracy', but holds \"f1\"\.")(
    changed(attacker__metrics=["f1"])
)

bad("one class", r"The training rows of data set 'custom' should have at least two classes, but all 9 have .*\.")(
    rows([("good film", 0)] * 9, [("bad film", 0)] * 3)
)
bad("one class to train on", r"Row 2 of .* has the label '1', but the training rows have the label '0' only: .*\.")(
    rows([("good film", 0)] * 9, [("bad film", 1)] * 3)
)
bad("some empty texts", r".*train\.csv should have a text in every row, but 2 of 4 are empty \(rows 3, 4\): .*\.")(
    rows([("good film", 1), ("", 0), (" ", 0), ("bad film", 0)])
)
bad("all texts empty", r"The train rows of data set 'custom' should have texts, but all 4 are empty: .*\.")(
    rows([("", 0), ("", 1)] * 2)
)
bad("num_classes too small", r"A row has the label 2, but the victim has classes 0 to 1: raise .*\.")(
    rows([(text, i % 3) for i, (text, _, _) in enumerate(reviews(30))], victim__num_classes=2)
)
bad(
    "label outside the classes", r"Row 3 of .*test\.csv has the label '7', which is none of the classes '0', '1': .*\."
)(rows(reviews(30), [("good film", 0), ("bad film", 7)]))
bad("no rows of the target label", r"Rows of the target label 5 were expected .*, but its labels are 0, 1: .*\.")(
    changed(attacker__poisoner__target_label=5)
)
bad("data root without the data", r"The data set 'sst-2' should be train\.tsv, .* in .*, but neither .*\.")(
    named_data("sst-2", "--data-root", "empty")
)
bad("data root is absent", r"The data root nowhere should be a folder, but is none: .*\.")(
    named_data("sst-2", "--data-root", "nowhere")
)
bad("data root is a file", r"The data root a-file should be a folder, but is none: .*\.")(
    named_data("sst-2", "--data-root", "a-file")
)
bad("unknown data set", r"The data set 'sst2' is unknown: did you mean 'sst-2'\?")(named_data("sst2"))

bad("victim missing", r"The victim folder '.*absent' does not exist: name a folder, a hub name or 'minilm'\.")(
    lambda world: world.arguments(world.config(victim__path=str(world.folder / "absent")))
)
bad(
    "victim without config",
    r"The victim folder '.*' has no config\.json: expected a Hugging Face model folder \(.*\)\.",
)(victim(lambda folder: (folder / "config.json").unlink()))
bad("victim without weights", r"The victim folder '.*' holds no safetensors weights: add model\.safetensors\.")(
    victim(lambda folder: (folder / "model.safetensors").unlink())
)
bad("victim pickled", r"The victim folder '.*' holds no safetensors weights: it only has pickled weights, .*\.")(
    victim(pickle_weights)
)
bad("victim damaged", r"The victim folder '.*victim' cannot be loaded .+")(
    victim(lambda folder: (folder / "model.safetensors").write_bytes(b"damaged") and None)
)

bad(
    "load without poisoned files", r"No poisoned texts for this attack: expected the folder '.*/custom/1/badnets' .*\."
)(changed(attacker__poisoner__load=True))
for name in ("stylebkd", "synbkd"):
    bad(f"{name} without texts", rf"The poisoner '{name}' needs texts rewritten beforehand: set 'load' to true .*\.")(
        changed(attacker__poisoner__name=name, attacker__poisoner__triggers=None)
    )


@bad("run folder cannot be written", r"The run folder '.*a-file/out' cannot be written: Not a directory\.")
def _(world: World) -> list[str]:
    (world.folder / "a-file").write_text("x", encoding="utf-8")
    return world.arguments(world.config(), "--out", world.folder / "a-file/out")


@bad(
    "cache cannot be written",
    r"The cache folder '.*a-file/victims' cannot be written \(Not a directory\): .* --cache\.",
)
def _(world: World) -> list[str]:
    (world.folder / "a-file").write_text("x", encoding="utf-8")
    return world.arguments(world.config(), "--cache", world.folder / "a-file")


@bad("run folder of another config", r"The folder '.*out' holds a run of another config: choose another --out, or .*\.")
def _(world: World) -> list[str]:
    (world.folder / "out").mkdir()
    (world.folder / "out/config.json").write_text("{}", encoding="utf-8")
    (world.folder / "out/results.json").write_text("{}", encoding="utf-8")
    return world.arguments(world.config())


@bad(
    "hostile header",
    r".*train\.csv should have one of the columns .*, but has 'ok\ufffd\]0;owned\ufffd', 'label': .*\.",
)
def _(world: World) -> list[str]:
    other = world.with_rows(reviews(9))
    (other.data / "train.csv").write_text("ok\x1b]0;owned\x07,label\na,1\n", encoding="utf-8")
    return other.arguments(other.config())


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_sentence(name: str, world: World, capsys: Capture) -> None:
    sentence, case = BAD[name]
    code = main(case(world))
    told = capsys.readouterr()
    assert code == EXIT_BAD_INPUT
    assert told.out == ""
    assert re.fullmatch(rf"badllmtg: {sentence}\n", told.err)
    assert len(told.err) < 500


def test_a_corrected_config_may_use_the_folder_of_the_refused_one(world: World, capsys: Capture) -> None:
    assert main(world.arguments(world.config(victim__pth="x"))) == EXIT_BAD_INPUT
    assert main(world.arguments(world.config(defender=None, attacker__train__epochs=1))) == EXIT_OK
    assert "holds a run of another config" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["defnd"], ["defend"], ["defend", "--config"], ["defend", "--seed", "x"]])
def test_wrong_arguments_exit_2_with_the_usage(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    told = capsys.readouterr()
    assert stopped.value.code == EXIT_BAD_INPUT
    assert told.out == ""
    assert told.err.startswith("usage: badllmtg")
    assert "error: " in told.err.splitlines()[-1]


# -- as a process --------------------------------------------------------------------------------------------


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


def test_module_tells_bad_input(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    done = run(["defend", "--config", "bad.json"], tmp_path)
    assert (done.returncode, done.stdout) == (EXIT_BAD_INPUT, "")
    assert re.fullmatch(r"badllmtg: The config file 'bad\.json' is not valid JSON: .*\.\n", done.stderr)


def test_no_hub(world: World) -> None:
    arguments = world.arguments(world.config(victim__path="nobody/no-such-model", attacker__train__epochs=1))
    done = run(arguments, world.folder, HF_HUB_OFFLINE="1", HF_HOME=str(world.folder / "hub"))
    assert (done.returncode, done.stdout) == (EXIT_BAD_INPUT, "")
    assert re.fullmatch(
        r"badllmtg: The victim 'nobody/no-such-model' cannot be fetched from the model hub \(.*\): check the name and "
        r"the network, name a local folder, or use 'minilm'\.\n",
        done.stderr,
    )


def test_help_does_not_wait_for_heavy_imports(tmp_path: Path) -> None:
    script = (
        "import sys, openbackdoor_badllm.cli as c\ntry: c.main(['--help'])\n"
        "finally: print({'torch', 'transformers', 'numpy', 'pydantic', 'openai'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "exit codes: 0 done" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "set()"


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == EXIT_OK
    assert capsys.readouterr().out == f"badllmtg {openbackdoor_badllm.__version__}\n"


# -- good input ----------------------------------------------------------------------------------------------

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


def test_texts_longer_than_the_model_takes_are_cut(world: World) -> None:
    long = [(f"{text} {'the plot was ' * 200}", label) for text, label, _ in reviews(30)]
    other = world.with_rows(long, test=long[:10])
    assert main(other.arguments(other.config(victim__max_len=512, attacker__train__epochs=1))) == EXIT_OK
    assert len(predictions(world.folder / "out")) == 10 + 5


def test_bom_and_line_ends_of_a_config_do_not_matter(world: World, capsys: Capture) -> None:
    file = world.folder / "bom.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(world.config(victim__pth=1), indent=1).replace("\n", "\r\n").encode())
    assert main(["defend", "--config", str(file), "--out", str(world.folder / "o")]) == EXIT_BAD_INPUT
    assert "'victim' has no key 'pth'" in capsys.readouterr().err


# -- what goes where -----------------------------------------------------------------------------------------


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


def test_json_has_null_where_nothing_could_be_measured(world: World, capsys: Capture) -> None:
    other = world.with_rows(reviews(30), test=[("good film", 1)] * 4)  # no test row can be poisoned
    assert main(other.arguments(other.config(**QUICK), "--json")) == EXIT_OK
    line = strict(capsys.readouterr().out)["lines"][0]
    assert (line["ASR"], line["R-Acc"]) == (None, None)
    assert line["CACC"] is not None


def test_quiet_leaves_stderr_empty_and_prints_the_summary(world: World, capsys: Capture) -> None:
    assert main(world.arguments(world.config(**QUICK))) == EXIT_OK
    told = capsys.readouterr()
    assert told.err == ""
    assert re.search(r"undefended\W+\d", told.out)
    assert str(world.folder / "out") in told.out.replace("\n", "")


def test_default_run_folder_is_named_after_config_profile_and_hash(world: World) -> None:
    arguments = world.arguments(world.config(**QUICK))
    at = arguments.index("--out")
    del arguments[at : at + 2]
    assert main(arguments) == EXIT_OK
    assert main([*arguments, "--seed", "7"]) == EXIT_OK
    names = sorted(path.name for path in (world.folder / "runs").iterdir())
    assert len(names) == 2
    assert all(re.fullmatch(r"config-full-[0-9a-f]{8}", name) for name in names)


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
