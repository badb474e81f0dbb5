"""CUBE: rows apart from the largest cluster of their label go; a label in one piece is left alone."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from defenders.conftest import World
from openbackdoor_badllm.config import TrainConfig, VictimConfig
from openbackdoor_badllm.defenders import cube as module
from openbackdoor_badllm.defenders.cube import CUBE, outside_largest
from openbackdoor_badllm.errors import MissingExtraError
from openbackdoor_badllm.rows import Example, Row

UMAP = importlib.util.find_spec("umap") is not None
each_reduction = pytest.mark.parametrize(
    "reduction", ["pca", pytest.param("umap", marks=pytest.mark.skipif(not UMAP, reason="umap-learn is not installed"))]
)


def vectors(rows: Sequence[Row]) -> Any:
    """Gaussian clusters: one for each label, and one apart for the poisoned rows of label 1."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 24)) * 4
    kinds = [2 if row.poison_label else row.label for row in rows]
    return (centres[kinds] + rng.normal(size=(len(rows), 24))).astype(np.float32)


def filtered(monkeypatch: pytest.MonkeyPatch, rows: Sequence[Row], **keys: Any) -> CUBE:
    made = vectors(rows)
    monkeypatch.setattr(CUBE, "train_own", lambda self, examples: None)
    monkeypatch.setattr(module, "first_token_vectors", lambda scorer, texts, pooled: made)
    defender = CUBE(**keys)
    defender.correct(poison_data=rows)
    return defender


POISONED = [Row(f"{n}", n % 2, 0) for n in range(400)] + [Row(f"p{n}", 1, 1) for n in range(80)]
CLEAN = POISONED[:400]


@each_reduction
def test_most_poisoned_rows_of_two_clusters_go_and_no_others(monkeypatch: pytest.MonkeyPatch, reduction: str) -> None:
    defender = filtered(monkeypatch, POISONED, reduction=reduction)
    flags = np.array(defender.last_flags)
    assert flags[400:].mean() > 0.9
    assert flags[:400].mean() < 0.02
    assert defender.details["reduction"] == reduction


@each_reduction
def test_no_row_of_a_clean_set_goes(monkeypatch: pytest.MonkeyPatch, reduction: str) -> None:
    assert sum(filtered(monkeypatch, CLEAN, reduction=reduction).last_flags or []) == 0


def test_noise_is_never_the_cluster_that_is_kept() -> None:
    clusters = np.array([-1] * 50 + [0] * 30 + [1] * 10)
    assert outside_largest(clusters, 1.0).tolist() == [True] * 50 + [False] * 30 + [True] * 10
    assert not outside_largest(np.array([-1] * 5), 1.0).any()


def test_a_label_never_loses_more_than_the_bound() -> None:
    clusters = np.array([0] * 40 + [1] * 30 + [2] * 30)
    assert outside_largest(clusters, 0.6).sum() == 60
    assert outside_largest(clusters, 0.5).sum() == 0


def test_noise_follows_its_neighbour_or_stays_noise() -> None:
    rng = np.random.default_rng(0)
    centre = np.full(24, 4.0)
    blobs = [rng.normal(size=(100, 24)) * 0.1 + sign * centre for sign in (1, -1)]
    strays = centre + 60 * np.eye(24)[:4]  # farther off than the blobs are apart, but nearer to the first
    made = np.vstack([*blobs, strays]).astype(np.float32)
    noisy = CUBE(reduction="pca", noise="drop").clusters(made)
    assert (noisy[200:] == -1).all()
    assert noisy[0] != noisy[100]
    followed = CUBE(reduction="pca").clusters(made)
    assert (followed[200:] == followed[0]).all()
    assert (followed != -1).all()


def test_few_rows_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row(f"{n}", n % 2) for n in range(15)]
    assert sum(filtered(monkeypatch, rows, reduction="pca").last_flags or []) == 0


def test_through_a_model(world: World) -> None:
    from tiny_world import TRAIN

    defender = CUBE(reduction="pca")
    defender.attach(VictimConfig(path=str(world.path), device="cpu", max_len=32), TrainConfig(**TRAIN))
    kept = defender.correct(poison_data=world.train)
    assert len(kept) == len(world.train) - sum(defender.last_flags or [])
    assert set(defender.details["cluster_sizes"]) == {"0", "1"}


def test_umap_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert CUBE().reduction == "pca"
    with pytest.raises(MissingExtraError, match=r"pip install 'openbackdoor-badllm\[baselines\]'"):
        CUBE(reduction="umap")


@pytest.mark.parametrize("fails", [False, True])
def test_threads_stay_as_they_were(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """numba's are OpenMP's, and OpenMP's are torch's: a victim is trained after this, on as many as the user allows."""

    class Numba:
        def __init__(self, **_: Any) -> None: ...

        def fit_transform(self, points: Any) -> Any:
            torch.set_num_threads(before + 1)
            if fails:
                raise ValueError("too few points")
            return points[:, :2]

    before = torch.get_num_threads()
    defender, points = CUBE(reduction="pca"), np.zeros((12, 4), dtype=np.float32)
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Numba))
    if fails:
        with pytest.raises(ValueError, match="too few"):
            defender._umap(points, 0)
    else:
        assert defender._umap(points, 0).shape == (12, 2)
    assert torch.get_num_threads() == before


def test_it_sees_no_flags() -> None:
    assert Example._fields == ("text", "label")
