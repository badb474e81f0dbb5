"""Cache of LLM answers in one SQLite file.

Only full answers are stored. The file holds no prompt and no key, has mode 0600, and may be used by
several processes at once. Nothing that can be wrong with it ends a run: what cannot be read or written
is said once in the log, and the run goes on with the answers that it holds in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openbackdoor_badllm.llm.types import ChatRequest, Ok, outcome_from_json, outcome_to_json

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
"""Raise it when the same key would stand for another question, or a row for another answer."""

_APPLICATION = 0x424C4C4D  # "BLLM": tells our file from any other sqlite file
_TABLE = f"answers_v{SCHEMA_VERSION}"  # a name a version: files of two versions live side by side
_BUSY_SECONDS = 10.0


def cache_key(request: ChatRequest, identity: Mapping[str, Any]) -> str:
    """SHA-256 of the sorted JSON of all that decides the answer.

    Args:
        request: the question; its ``purpose`` does not count.
        identity: of the provider: model, base_url, sampling. Never the API key.
    """
    question = {
        "schema": SCHEMA_VERSION,
        "identity": dict(identity),
        "messages": [[message.role, message.content] for message in request.messages],
        "json_schema": request.json_schema,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "sample": request.sample,
        "texts": request.texts,
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode("ascii")).hexdigest()


class AnswerCache:
    """A lookup from :func:`cache_key` to :class:`~.types.Ok`.

    Args:
        path: the file; its folder is made. None keeps the answers in memory alone.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._memory: dict[str, Ok] = {}
        self._lock = threading.Lock()
        self._writable = False
        self._connection: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            inode = path.stat().st_ino if path.is_file() else None
            try:
                self._open(path)
            except _CorruptError as problem:
                if path.stat().st_ino == inode:  # else another process was faster, and this is its new file
                    aside = _set_aside(path).name
                    self._warn(f"it is corrupt ({problem}); it is kept as {aside}, and a new one is begun")
                self._open(path)
        except (_UnusableError, _CorruptError, sqlite3.Error, OSError) as problem:
            self._warn(f"{problem}; the run goes on without it and keeps answers in memory only")

    def get(self, key: str) -> Ok | None:
        """The stored answer, or None."""
        with self._lock:
            if key in self._memory:
                return self._memory[key]
            if self._connection is None:
                return None
            try:
                row = self._connection.execute(f"SELECT answer FROM {_TABLE} WHERE key = ?", (key,)).fetchone()
                answer = outcome_from_json(json.loads(row[0])) if row else None
            except sqlite3.Error as error:
                if not _is_busy(error):
                    self._connection.close()
                    self._connection, self._writable = None, False
                    self._warn(f"it cannot be read ({error}); the run goes on without it")
                return None
            except (ValueError, TypeError):  # a row that is no answer: ask again, and write over it
                return None
            if not isinstance(answer, Ok):
                return None
            self._memory[key] = answer
            return answer

    def put(self, key: str, answer: Ok, *, model: str = "", purpose: str = "") -> None:
        """Stores an answer; when this returns, a killed process has it."""
        with self._lock:
            self._memory[key] = answer
            if self._connection is None or not self._writable:
                return
            row = (key, model, purpose, time.time(), json.dumps(outcome_to_json(answer)))
            try:
                with self._connection:
                    self._connection.execute(f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.Error as error:
                self._writable = _is_busy(error)
                self._warn(f"an answer could not be written ({error}) and is kept in memory only")

    def close(self) -> None:
        """Closes the file; may be called twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._writable = None, False

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        read_only = False
        if path.exists():
            if not path.is_file():
                raise _UnusableError("it is not a file")
            # A file without a write bit was made read-only on purpose: that holds for root, too.
            read_only = not path.stat().st_mode & stat.S_IWUSR or not os.access(path, os.W_OK)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        # immutable: without it sqlite wants to make files beside this one, even to read.
        name = f"{path.resolve().as_uri()}?mode=ro&immutable=1" if read_only else path.resolve().as_uri()
        connection = sqlite3.connect(name, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            version = _check_ours(connection)
            if not read_only:
                self._prepare(connection, path, version)
            elif not _has_table(connection):
                raise _UnusableError(f"it is read-only and holds no answers in format {SCHEMA_VERSION}")
            else:
                self._warn("it is read-only; its answers are used, new ones are kept in memory only")
        except sqlite3.Error as error:
            connection.close()
            if "not a database" in str(error) or "malformed" in str(error):
                raise _CorruptError(str(error)) from None
            raise
        except _UnusableError:
            connection.close()
            raise
        self._connection, self._writable = connection, not read_only

    def _prepare(self, connection: sqlite3.Connection, path: Path, version: int) -> None:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        if version and not _has_table(connection):
            self._warn(
                f"it was written in format {version}, and this version reads format {SCHEMA_VERSION}; "
                "the old answers stay in it untouched, and the questions are asked again"
            )
        # A log beside the file: a commit then waits for no disk, and readers do not block.
        # The switch heeds no time-out of sqlite's own, so several processes starting at once need this loop.
        for _ in range(100):
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                time.sleep(0.05)
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_TABLE} "
                "(key TEXT PRIMARY KEY, model TEXT, purpose TEXT, created REAL, answer TEXT NOT NULL)"
            )
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {max(version, SCHEMA_VERSION)}")

    def _warn(self, what: str) -> None:
        logger.warning("The answer cache %s: %s.", self.path, what)


class _UnusableError(Exception):
    """The file is no cache of ours; the text says why."""


class _CorruptError(Exception):
    """The file cannot be read as a database."""


def _check_ours(connection: sqlite3.Connection) -> int:
    """The format in which the file was written; 0 for a new one.

    Raises:
        _UnusableError: the file belongs to another program.
    """
    # One transaction, one view: another process may be making the file at this moment.
    connection.execute("BEGIN")
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    connection.rollback()
    if tables and application != _APPLICATION:
        raise _UnusableError("it is a database of another program and is left alone")
    return version if tables else 0


def _has_table(connection: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (_TABLE,)).fetchone() is not None


def _is_busy(error: sqlite3.Error) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _set_aside(path: Path) -> Path:
    """Renames the file and what sqlite keeps beside it; a paid answer may still be saved from it."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(path.with_name(f"{path.name}.corrupt-{stamp}{suffix}"))
    return path.rename(path.with_name(f"{path.name}.corrupt-{stamp}"))
