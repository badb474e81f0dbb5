"""Trained victims, kept under the hash of everything that defines them.

One run trains several models and many runs share some (the model trained on the clean rows serves all four
attacks on a data set), so a training is looked up before it is begun. That is also how a run that was
killed goes on: what it had trained is found here. The folder is bounded; what was used longest ago goes first.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
import transformers
from filelock import FileLock

from openbackdoor_badllm.training.tracing import Trace
from openbackdoor_badllm.training.victims import quiet_transformers, resolve

logger = logging.getLogger(__name__)

SCHEMA = 1  # raise it when a training with the same spec would give another model
DEFAULT_MAX_BYTES = 6_000_000_000
_META = "training.json"


def default_folder() -> Path:
    """``$BADLLMTG_CACHE``, else ``$XDG_CACHE_HOME/openbackdoor_badllm``, else the same under ``~/.cache``."""
    named = os.environ.get("BADLLMTG_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "openbackdoor_badllm"


@dataclass(frozen=True)
class Stored:
    """A model found in the store."""

    folder: Path
    meta: dict[str, Any]


class Store:
    """A folder of trained models.

    Args:
        folder: where; made when needed.
        max_bytes: bound of its size.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = (folder or default_folder()) / "victims"
        self.max_bytes = max_bytes
        self._fingerprints: dict[str, str] = {}

    def key(self, **parts: Any) -> str:
        """SHA-256 (40 hex digits of it) of the parts and the versions that shape a training."""
        parts["versions"] = [SCHEMA, torch.__version__, transformers.__version__]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    def model_fingerprint(self, path: str) -> str:
        """What identifies a pretrained model: the hash of its weights and config, or its hub name."""
        if path not in self._fingerprints:
            folder = Path(resolve(path))
            self._fingerprints[path] = _hash_folder(folder) if folder.is_dir() else path
        return self._fingerprints[path]

    def load(self, key: str) -> Stored | None:
        """The model kept under ``key``, or None. A damaged entry is removed and counts as absent."""
        folder = self.folder / key
        if not folder.is_dir():
            return None
        try:
            meta = json.loads((folder / _META).read_text(encoding="utf-8"))
            os.utime(folder)
        except (OSError, ValueError) as error:
            self.drop(key, error)
            return None
        return Stored(folder, meta)

    def drop(self, key: str, error: Exception) -> None:
        """Removes an entry that cannot be read."""
        logger.warning("dropping the damaged store entry %s: %s", self.folder / key, error)
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def save(self, key: str, model: Any, meta: dict[str, Any], trace: Trace | None) -> None:
        """Keeps a model; another process that was faster with the same one wins."""
        target = self.folder / key
        draft = self.folder / f".draft-{key}-{uuid4().hex[:8]}"
        draft.mkdir(parents=True)
        try:
            with quiet_transformers():
                model.save_pretrained(draft)
            if trace is not None:
                trace.write(draft)
            (draft / _META).write_text(json.dumps(meta), encoding="utf-8")
            draft.rename(target)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if not target.is_dir():
                logger.warning("the trained model could not be kept in %s: %s", self.folder, error)
        self.prune(keep=key)

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Held while a model is looked up and trained: a second process that wants the same one waits for it.

        The lock is the operating system's, so it is free again when its holder dies, however it dies.
        """
        locks = self.folder.parent / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / key):
            yield

    @contextmanager
    def workspace(self, key: str) -> Iterator[Path]:
        """A folder for the checkpoints of one training; left in place when the training is cut off.

        A second process that trains the same model at the same time gets a folder of its own.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = self.folder / f".partial-{key}"
        owner = folder / "owner.pid"
        if owner.is_file() and _alive(owner.read_text(encoding="utf-8")):
            folder = self.folder / f".partial-{key}-{os.getpid()}-{uuid4().hex[:6]}"
            owner = folder / "owner.pid"
        folder.mkdir(parents=True, exist_ok=True)
        owner.write_text(str(os.getpid()), encoding="utf-8")
        try:
            yield folder
        except BaseException:
            owner.unlink(missing_ok=True)
            if not any(folder.glob("checkpoint-*")):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def prune(self, keep: str = "") -> None:
        """Removes what was used longest ago until the store fits its bound, and remains older than a week."""
        entries = []
        for entry in self.folder.iterdir():
            try:
                modified = entry.stat().st_mtime
                if entry.name.startswith("."):
                    if time.time() - modified > 7 * 86400:
                        shutil.rmtree(entry, ignore_errors=True)
                    continue
                size = sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
            except OSError:  # another process removed it meanwhile
                continue
            entries.append((modified, size, entry))
        total = sum(size for _, size, _ in entries)
        for _, size, entry in sorted(entries):
            if total <= self.max_bytes:
                break
            if entry.name != keep:
                shutil.rmtree(entry, ignore_errors=True)
                total -= size


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    shaping = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
    for file in [*sorted(folder.glob("*.safetensors")), *(folder / name for name in shaping)]:
        if file.is_file():
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 22):
                    digest.update(chunk)
    return digest.hexdigest()


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return int(pid) != os.getpid()
