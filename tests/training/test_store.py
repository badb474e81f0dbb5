"""The folder of trained models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.tracing import Trace


class FakeModel:
    """Saves a file of a known size."""

    def __init__(self, size: int = 100) -> None:
        self.size = size

    def save_pretrained(self, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"x" * self.size)


def names(store: Store) -> set[str]:
    return {entry.name for entry in store.folder.iterdir()}


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder, (then, then))


def test_save_and_load(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trace = Trace(np.array([1]), np.ones((1, 2), dtype=np.float32), np.array([0, 1]))
    assert store.load("k") is None
    store.save("k", FakeModel(), {"losses": [0.5]}, trace)
    stored = store.load("k")
    assert stored is not None
    assert stored.meta == {"losses": [0.5]}
    assert (stored.folder / "model.safetensors").stat().st_size == 100
    assert Trace.read(stored.folder).steps.tolist() == [1]
    assert names(store) == {"k"}  # no draft is left


@pytest.mark.parametrize("damage", ["missing", "cut", "binary"])
def test_a_damaged_entry_is_dropped(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.save("k", FakeModel(), {"losses": []}, None)
    meta = store.folder / "k" / "training.json"
    if damage == "missing":
        meta.unlink()
    else:
        meta.write_bytes(b'{"losses": [' if damage == "cut" else b"\xff\xfe\x00")
    assert store.load("k") is None
    assert not (store.folder / "k").exists()


def test_a_full_disk_is_no_reason_to_lose_a_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full(FakeModel):
        def save_pretrained(self, folder: Path) -> None:
            super().save_pretrained(folder)
            raise OSError(28, "No space left on device")

    store = Store(tmp_path)
    store.save("k", Full(), {}, None)
    assert names(store) == set()
    assert "No space left" in caplog.text


def test_prune_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=350)
    for place, key in enumerate("abc"):
        store.save(key, FakeModel(), {}, None)
        age(store.folder / key, 1000 - place)
    assert store.load("a") is not None  # used just now, so "b" is the oldest
    store.save("d", FakeModel(), {}, None)
    assert names(store) == {"a", "c", "d"}


@pytest.mark.parametrize("checkpoint", [True, False])
def test_workspace_of_an_interrupted_training(tmp_path: Path, checkpoint: bool) -> None:
    store = Store(tmp_path)

    def train(folder: Path) -> None:
        if checkpoint:
            (folder / "checkpoint-3").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), store.workspace("k") as folder:
        train(folder)
    assert folder.exists() is checkpoint  # a folder without a checkpoint is of no use to anybody
    with store.workspace("k") as again:
        assert again == folder
        assert (again / "checkpoint-3").is_dir() is checkpoint


def test_workspace_of_a_live_process_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        theirs = store.folder / ".partial-k"
        theirs.mkdir(parents=True)
        (theirs / "owner.pid").write_text(str(other.pid), encoding="utf-8")
        with store.workspace("k") as ours:
            assert ours != theirs
        assert not ours.exists()
        assert (theirs / "owner.pid").read_text(encoding="utf-8") == str(other.pid)
    finally:
        other.communicate(b"\n")
    with store.workspace("k") as ours:  # its owner is dead now: it is taken over
        assert ours == theirs


def test_key_depends_on_every_part_and_not_on_their_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = store.key(a=1, b="x")
    assert key == store.key(b="x", a=1) == Store(tmp_path / "elsewhere").key(a=1, b="x")
    assert len({key, store.key(a=2, b="x"), store.key(a=1, b="y"), store.key(a=1)}) == 4


def test_model_fingerprint_follows_the_content(tiny_bert: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bert, copy)

    def of(folder: Path) -> str:
        return Store(tmp_path).model_fingerprint(str(folder))

    original = of(tiny_bert)
    assert of(copy) == original
    seen = {original}
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        content = bytearray((copy / name).read_bytes())
        content[-2] ^= 1
        (copy / name).write_bytes(bytes(content))
        seen.add(of(copy))
    assert len(seen) == 4
