"""The content reference: a model that cannot have learnt the trigger."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from method_fakes import FakeEmbedder, clean_rows, poisoned_rows, seen

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.target_identification.content_reference import ContentReference
from openbackdoor_badllm.training.scoring import FloatArray


class Numbered(ContentReference):
    """Notes which rows each of its models was trained on, and which it was asked about."""

    def __init__(self, labels: Sequence[int], num_labels: int) -> None:
        examples = [Example(str(k), label) for k, label in enumerate(labels)]
        self.uses: list[tuple[npt.NDArray[np.bool_], list[int]]] = []
        super().__init__(self, examples, num_labels, seed=0)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.array([[float(text)] for text in texts], dtype=np.float32)

    def _fit(self, mask: npt.NDArray[np.bool_]) -> Callable[[FloatArray], FloatArray]:
        def model(vectors: FloatArray) -> FloatArray:
            self.uses.append((mask, [int(vector[0]) for vector in vectors]))
            return np.ones((len(vectors), self.num_labels), dtype=np.float32)

        return model


def test_it_reads_what_a_text_says() -> None:
    rows = seen(clean_rows(200))
    held_out = ContentReference(FakeEmbedder(), rows, 2, seed=0).held_out()
    assert held_out.shape == (200, 2)
    np.testing.assert_allclose(held_out.sum(axis=1), 1.0, rtol=1e-5)
    assert (held_out.argmax(axis=1) == [row.label for row in rows]).mean() > 0.97


def test_it_contradicts_poisoned_rows_and_no_others() -> None:
    rows = poisoned_rows()
    held_out = ContentReference(FakeEmbedder(), seen(rows), 2, seed=0).held_out()
    contradicts = held_out.argmax(axis=1) != [row.label for row in rows]
    poisoned = np.array([row.poison_label for row in rows], dtype=bool)
    assert contradicts[poisoned].mean() > 0.9
    assert contradicts[~poisoned].mean() < 0.05


@pytest.mark.parametrize("counts", [(20, 20), (20, 1), (7, 2), (30, 3, 1), (2, 0, 2)])
def test_no_row_is_referenced_by_a_model_that_has_seen_it(counts: tuple[int, ...]) -> None:
    reference = Numbered([label for label, count in enumerate(counts) for _ in range(count)], len(counts))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (reference.held_out() == 1).all()  # every row is referenced
    assert sorted(row for _, asked in reference.uses for row in asked) == list(range(sum(counts)))
    for mask, asked in reference.uses:
        assert not mask[asked].any()
        assert mask.sum() == len(mask) - len(asked)  # and by one that has seen all others


def test_fitted_without_never_sees_the_rows_left_out() -> None:
    rows = seen(poisoned_rows())
    poison = np.array([" cf " in f" {row.text} " for row in rows])
    changed = [
        Example(row.text, 1 - row.label) if hidden else row for row, hidden in zip(rows, poison, strict=True)
    ]
    texts = [row.text for row in rows[:30]]
    np.testing.assert_array_equal(
        ContentReference(FakeEmbedder(), rows, 2, seed=0).fitted_without(poison)(texts),
        ContentReference(FakeEmbedder(), changed, 2, seed=0).fitted_without(poison)(texts),
    )
    assert np.abs(
        ContentReference(FakeEmbedder(), rows, 2, seed=0).fitted_without(~poison)(texts)
        - ContentReference(FakeEmbedder(), changed, 2, seed=0).fitted_without(~poison)(texts)
    ).max() > 0.01  # fmt: skip


def test_classes_without_rows_have_columns_of_zeros() -> None:
    rows = [Example(row.text, 2 * row.label) for row in seen(clean_rows(60))]
    reference = ContentReference(FakeEmbedder(), rows, 4, seed=0)
    whole = reference.fitted_without(np.zeros(60, dtype=bool))
    for probabilities in (reference.held_out(), whole(["charming", "awful"])):
        assert probabilities.shape[1] == 4
        assert (probabilities[:, [1, 3]] == 0).all()
        assert (probabilities[:, [0, 2]] > 0).all()
    answers = reference.fitted_without(np.zeros(60, dtype=bool))(["charming brilliant", "awful"])
    assert answers.argmax(axis=1).tolist() == [2, 0]


def test_one_class_is_all_that_it_can_say() -> None:
    rows = [Example(row.text, 1) for row in seen(clean_rows(20))]
    reference = ContentReference(FakeEmbedder(), rows, 3, seed=0)
    assert (reference.held_out() == [0, 1, 0]).all()
    both = [*rows, Example("awful", 0)]
    mask = np.array([False] * 20 + [True])
    assert ContentReference(FakeEmbedder(), both, 2, seed=0).fitted_without(mask)(["awful"]).tolist() == [[0, 1]]


def test_no_rows_left_and_no_texts() -> None:
    reference = ContentReference(FakeEmbedder(), seen(clean_rows(20)), 2, seed=0)
    assert reference.fitted_without(np.ones(20, dtype=bool))(["x"]).shape == (1, 2)
    assert reference.fitted_without(np.zeros(20, dtype=bool))([]).shape == (0, 2)


def test_the_seed_fixes_the_folds() -> None:
    rows = seen(poisoned_rows(120))
    one, again, other = (ContentReference(FakeEmbedder(), rows, 2, seed=seed).held_out() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0
