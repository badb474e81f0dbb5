"""What a user would reach for instead, on the same sets: which rows it names, and how many of them are poisoned.

    pip install cleanlab
    python benchmarks/held_out/peers.py --data-root DATA --out runs/held-out     # after run.py; adds peers.json

- ``cleanlab``: label issues by confident learning (Northcutt et al. 2021), a linear model on frozen vectors, 5 folds.
- ``activation clustering`` (Chen et al. 2018): of each label, the smaller of two clusters of the victim's vectors,
  where it is smaller than 35 %.
- ``spectral signatures`` (Tran et al. 2018): of the target label, the rows farthest along the first singular vector;
  it is told the target label and 1.5 times the true number of poisoned rows, which nobody knows outside an experiment.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cleanlab.filter import find_label_issues
from run import VICTIM, victim_of
from sets import HeldOut, make, named_sets
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from openbackdoor_badllm.training.embedding import Embedder
from openbackdoor_badllm.training.representations import first_token_vectors

HERE = Path(__file__).resolve().parent
SMALLER = 0.35
Rows = npt.NDArray[np.int64]


def label_issues(made: HeldOut, embedder: Embedder) -> Rows:
    """Rows that cleanlab calls label issues."""
    labels = np.array([row.label for row in made.train])
    vectors = embedder.embed([row.text for row in made.train])
    said = cross_val_predict(LogisticRegression(max_iter=1000), vectors, labels, cv=5, method="predict_proba")
    return np.flatnonzero(find_label_issues(labels, said))


def activation_clusters(made: HeldOut, vectors: npt.NDArray[np.float32]) -> Rows:
    """The smaller cluster of each label."""
    labels, named = np.array([row.label for row in made.train]), []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        reduced = PCA(min(10, len(own)), random_state=0).fit_transform(vectors[own])
        cluster = KMeans(2, n_init=5, random_state=0).fit_predict(reduced)
        small = int(cluster.mean() < 0.5)
        if (cluster == small).mean() < SMALLER:
            named.append(own[cluster == small])
    return np.concatenate(named) if named else np.zeros(0, dtype=np.int64)


def spectral_signatures(made: HeldOut, vectors: npt.NDArray[np.float32]) -> Rows:
    """The rows of the target label that are farthest along the first singular vector."""
    own = np.flatnonzero(np.array([row.label for row in made.train]) == made.target)
    centred = vectors[own] - vectors[own].mean(axis=0)
    first = np.linalg.svd(centred, full_matrices=False)[2][0]
    count = round(1.5 * made.poisoned)
    return own[np.argsort(-((centred @ first) ** 2))[:count]]


def shares(named: Rows, made: HeldOut) -> dict[str, float | int | None]:
    """Precision and recall of named rows; on a clean set, how many were named."""
    truth = np.array([row.poisoned for row in made.train])
    hit = int(truth[named].sum())
    return {
        "named": len(named),
        "precision": round(hit / len(named), 3) if len(named) and truth.any() else None,
        "recall": round(hit / int(truth.sum()), 3) if truth.any() else None,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder that run.py filled")
    given = parser.parse_args()
    embedder, target = Embedder(VICTIM), given.out / "peers" / "peers.json"
    target.parent.mkdir(exist_ok=True)
    told = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    for name, entry in named_sets(HERE / "sets.yaml").items():
        if name in told or not (given.out / f"{name}.json").exists():
            continue
        made = make(entry, given.data_root)
        victim = victim_of(made, given.out / "cache" / name)
        vectors = first_token_vectors(victim.scorer(), [row.text for row in made.train])
        told[name] = {
            "cleanlab": shares(label_issues(made, embedder), made),
            "activation clustering": shares(activation_clusters(made, vectors), made),
        }
        if made.poisoned:
            told[name]["spectral signatures"] = shares(spectral_signatures(made, vectors), made)
        target.write_text(json.dumps(told, indent=1), encoding="utf-8")
        sys.stdout.write(f"{name}: {told[name]}\n")


if __name__ == "__main__":
    main()
