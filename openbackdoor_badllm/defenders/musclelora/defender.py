"""``musclelora``: MuScleLoRA (arXiv 2405.16277), a fresh model that learns the poisoned rows without their backdoor.

LoRA and a branch of radial scalings are all that is trained, and every step is turned toward what clean reference rows
want. The victim that was attacked is not used.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, ClassVar, Literal

import torch

from openbackdoor_badllm.config import DefenderKeys
from openbackdoor_badllm.defenders.base import Configured
from openbackdoor_badllm.defenders.clean_rows import draw_clean
from openbackdoor_badllm.defenders.musclelora.adapters import AdapterShape, add_adapters, merge_adapters, want_peft
from openbackdoor_badllm.defenders.musclelora.alignment import (
    AlignmentConfig,
    References,
    align_step,
    reference_gradients,
)
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example, blind, fingerprint
from openbackdoor_badllm.section import Count, NotNegative, Seed
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.spec import Optimisation, TrainSpec

logger = logging.getLogger(__name__)


class MuScleLoRAConfig(AdapterShape, AlignmentConfig, Optimisation, DefenderKeys):
    """Section ``defender`` with ``"name": "musclelora"``; every default is the published value.

    ``batch_size`` is also the size of a reference batch, and ``ckpt`` is chosen on the clean rows that are no
    references (``last`` where there are none).
    """

    name: str = "musclelora"
    """The name under which it is registered."""
    pre: Literal[False] = False
    """It trains a model of its own; only false."""
    correction: Literal[False] = False
    """It trains a model of its own; only false."""
    clean_rows: Count | None = None
    """Clean dev rows that it may use, references included; all of them when it is not given."""
    ref_sample: Count = 96
    """Reference rows, drawn uniformly from the clean ones; the others choose the epoch."""
    warm_up_epochs: NotNegative = 0
    """Epochs of linear warm-up, at most half of ``epochs``; then the rate falls linearly to 0."""
    seed: Seed = 42
    """Seed of the head, which stays as it is drawn, of the adapters, and of the order of the rows."""


class MuScleLoRA(Configured):
    """Trains a fresh model on the poisoned rows: low-rank adapters, radial scalings, gradients aligned to clean rows.

    Args:
        **config: the keys of :class:`MuScleLoRAConfig`.

    Raises:
        MissingExtraError: ``peft`` is not installed.
    """

    called = "musclelora"
    keys = MuScleLoRAConfig
    config: MuScleLoRAConfig
    clean_rows_needed: ClassVar[bool] = True
    trains_model: ClassVar[bool] = True
    stage: ClassVar[str] = "train"
    needs_trained_victim: ClassVar[bool] = False
    outcome: str = "changed model"
    changes_model: bool = True

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        want_peft("The defender 'musclelora'")

    def rebuild(
        self, victim: Any, train_rows: Sequence[Any], clean_rows: Sequence[Any], num_labels: int
    ) -> TrainedClassifier:
        """A classifier of the victim's architecture, adapters merged in.

        Raises:
            DataError: no training rows, no clean row, or a label outside the classes.
            VictimError: the architecture is not known.
        """
        config = self.config
        examples = blind(train_rows)
        if not examples:
            raise DataError("The defender 'musclelora' got no training rows.")
        clean = draw_clean(clean_rows, config.clean_rows, seed=config.seed, least=1, who="musclelora")
        highest = max(example.label for example in [*examples, *clean])
        if highest >= num_labels:
            raise DataError(
                f"A row has the label {highest}, but the victim has classes 0 to {num_labels - 1}: raise "
                "'victim.num_classes', or mend the labels."
            )
        references, choosing = clean[: config.ref_sample], clean[config.ref_sample :]
        if config.ckpt == "best" and not choosing:
            logger.info("all %d clean rows are references: the last epoch is kept", len(references))
        spec = TrainSpec.of(
            config,
            path=victim.path,
            num_labels=num_labels,
            max_len=victim.config.max_len,
            device="cpu" if victim.config.device == "cpu" else "gpu",
            seed=config.seed,
        )
        method = AlignedAdapters(config, references)
        self.progress.stage(f"MuScleLoRA: train on {len(examples)} rows, {len(references)} clean reference rows")
        trained = train_classifier(
            spec, examples, dev=choosing, store=self.store, progress=self.progress, method=method
        )
        self.details = {
            "clean_rows": len(clean),
            "reference_rows": len(references),
            "trainable_parameters": method.trainable,  # None where the model came from the store
            "losses": [round(loss, 4) for loss in trained.losses],
        }
        return trained


class AlignedAdapters:
    """The engine's :class:`~openbackdoor_badllm.training.spec.Method` of MuScleLoRA.

    Attributes:
        trainable: number of trained parameters; None before the training.
    """

    def __init__(self, config: MuScleLoRAConfig, references: Sequence[Example]) -> None:
        self.config, self.rows = config, list(references)
        self.trainable: int | None = None
        self.parameters: list[torch.nn.Parameter] = []
        self.references: References | None = None

    def describe(self) -> str:
        """Its settings, its reference rows, and the version of ``peft``, which draws the LoRA."""
        shaping = self.config.model_dump()
        for key in ("pre", "correction", "metrics", "clean_rows", "ref_sample"):
            del shaping[key]
        return json.dumps([shaping, fingerprint(self.rows), metadata.version("peft")], sort_keys=True)

    def prepare(self, model: Any, tokenizer: Any, spec: TrainSpec) -> None:
        """Puts the adapters in and freezes the rest."""
        self.trainable = add_adapters(model, self.config)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.references = References(
            tokenizer,
            self.rows,
            spec.max_len,
            batch_size=self.config.batch_size,
            seed=derive(self.config.seed, "musclelora"),
            one_batch=self.config.one_batch_ref,
        )

    def after_backward(
        self, loss_of: Callable[[dict[str, torch.Tensor]], torch.Tensor], *, step: int, epoch: int
    ) -> None:
        """Aligns the gradients of one step."""
        if self.references is None:
            raise RuntimeError("prepare() comes first")
        loss, gradients = reference_gradients(loss_of, self.parameters, self.references, step)
        align_step(self.parameters, gradients, loss, self.config, epoch=epoch, epochs=self.config.epochs)

    def finish(self, model: Any) -> None:
        """Merges the adapters into the weights."""
        merge_adapters(model)
