"""``cube``: CUBE (Cui et al. 2022, "A Unified Evaluation of Textual Backdoor Learning", NeurIPS).

A model trained on the poisoned rows keeps them apart from the honest rows of their label. The representations of each
label are clustered; rows of the smaller clusters are dropped.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from openbackdoor_badllm.defenders.own_model import OwnModelKeys, RowFilter
from openbackdoor_badllm.errors import MissingExtraError
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.section import Count, NotNegative, Share, Whole
from openbackdoor_badllm.training.representations import first_token_vectors
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.scoring import FloatArray

NOISE = -1

Ints = npt.NDArray[np.int64]


class CubeConfig(OwnModelKeys):
    """Section ``defender`` with ``"name": "cube"``."""

    reduction: Literal["auto", "umap", "pca"] = "auto"
    """``umap`` (the paper's; extra ``baselines``), ``pca``: no second reduction, or ``auto``: ``umap`` where it is
    installed."""
    n_components: Annotated[Whole, Field(ge=2)] = 20
    """Dimensions that a principal component analysis leaves."""
    n_neighbors: Annotated[Whole, Field(ge=2)] = 100
    """UMAP's neighbours of a row."""
    min_samples: Count = 100
    """HDBSCAN's smoothing; at most a twentieth of a label's rows, or a small set's triggers would melt together."""
    min_cluster_size: Annotated[Whole, Field(ge=2)] = 5
    """HDBSCAN's smallest cluster."""
    cluster_selection_epsilon: NotNegative = 0.0
    """HDBSCAN joins clusters nearer than this."""
    noise: Literal["nearest", "drop"] = "nearest"
    """Rows that HDBSCAN puts in no cluster: ``nearest``: they follow the nearest row that is in one; ``drop``: they are
    dropped, as OpenBackdoor does."""
    max_drop: Share = 0.5
    """Share of a label's rows that may be dropped; where the clusters ask for more, the label is left alone."""


class CUBE(RowFilter):
    """Drops the rows of each label that lie apart from its largest cluster.

    Args:
        **config: the keys of :class:`CubeConfig`.

    Raises:
        MissingExtraError: the config asks for ``umap``, which is not installed.
    """

    called = "cube"
    keys = CubeConfig
    config: CubeConfig

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.reduction = self.config.reduction
        installed = importlib.util.find_spec("umap") is not None
        if self.reduction == "auto":
            self.reduction = "umap" if installed else "pca"
        if self.reduction == "umap" and not installed:
            raise MissingExtraError("umap-learn", "baselines", "The defender 'cube' with 'reduction' umap")

    def suspects(self, examples: Sequence[Example]) -> Sequence[bool]:
        """True for rows outside the largest cluster of their label."""
        vectors = first_token_vectors(self.train_own(examples), [row.text for row in examples], pooled=True)
        labels = np.array([row.label for row in examples])
        dropped = np.zeros(len(examples), dtype=bool)
        told: dict[str, list[int]] = {}
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            clusters = self.clusters(vectors[rows])
            told[str(label)] = np.unique(clusters, return_counts=True)[1].tolist()
            dropped[rows] = outside_largest(clusters, self.config.max_drop)
        self.details |= {"reduction": self.reduction, "cluster_sizes": told}
        return [bool(flag) for flag in dropped]

    def clusters(self, vectors: FloatArray) -> Ints:
        """The cluster of each row of one label; shape ``(rows,)``."""
        from sklearn.cluster import HDBSCAN
        from sklearn.decomposition import PCA
        from sklearn.neighbors import NearestNeighbors

        rows = len(vectors)
        if rows < 2 * self.config.min_cluster_size + 2:
            return np.zeros(rows, dtype=np.int64)
        seed = derive(self.config.seed, "cube")
        reduced = PCA(min(self.config.n_components, rows, vectors.shape[1]), random_state=seed).fit_transform(vectors)
        if self.reduction == "umap":
            reduced = self._umap(reduced, seed)
        found: Ints = (
            HDBSCAN(
                min_samples=max(1, min(self.config.min_samples, rows // 20)),
                min_cluster_size=self.config.min_cluster_size,
                cluster_selection_epsilon=self.config.cluster_selection_epsilon,
                # A label without poison is one cluster to UMAP, which leaves no row far from the others; without UMAP
                # it is all noise, and a single cluster would swallow the poisoned ones.
                allow_single_cluster=self.reduction == "umap",
                copy=True,
            )
            .fit_predict(reduced)
            .astype(np.int64)
        )
        noise = found == NOISE
        if self.config.noise == "nearest" and noise.any() and not noise.all():
            finder = NearestNeighbors(n_neighbors=1).fit(reduced[~noise])
            found[noise] = found[~noise][finder.kneighbors(reduced[noise], return_distance=False)[:, 0]]
        return found

    def _umap(self, reduced: FloatArray, seed: int) -> FloatArray:
        threads = torch.get_num_threads()
        try:
            import umap

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a seed rules out several threads
                embedded: FloatArray = umap.UMAP(
                    n_neighbors=min(self.config.n_neighbors, len(reduced) - 1),
                    min_dist=0.0,
                    n_components=2,
                    random_state=seed,
                    init="spectral" if len(reduced) > 10 else "random",
                ).fit_transform(reduced)
        finally:
            # numba sets the number of OpenMP threads of the whole process to that of the cores: where something else
            # runs on these, the victim's training that follows takes ten times as long.
            torch.set_num_threads(threads)
        return embedded


def outside_largest(clusters: Ints, max_drop: float) -> npt.NDArray[np.bool_]:
    """True for rows outside the largest real cluster; for none where there is no cluster, or too much would go.

    Args:
        clusters: the cluster of each row; -1 is noise, which is never the one that is kept.
        max_drop: share of the rows that may be dropped.
    """
    nothing = np.zeros(len(clusters), dtype=bool)
    real, sizes = np.unique(clusters[clusters != NOISE], return_counts=True)
    if not len(real):
        return nothing
    outside: npt.NDArray[np.bool_] = clusters != real[sizes.argmax()]
    return outside if outside.mean() <= max_drop else nothing
