"""The sections of a config: typed, checked when made, a misspelt key refused.

OpenBackdoor's JSON passes whole sections as keyword arguments and swallows what it does not know; a misspelt key is
silently a default there. Here each section is a dataclass whose fields carry their documentation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.report import AuditConfig
from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.reading import at_least, check_seed, one_of
from openbackdoor_badllm.training.spec import TrainSpec


@dataclass(frozen=True)
class VictimConfig:
    """Section ``victim``: the classifier that is attacked."""

    type: str = "plm"
    """Only ``plm``: a pretrained language model with a classification head."""
    model: str = "bert"
    """OpenBackdoor's name of the encoder's attribute; not needed here, kept for the real framework."""
    path: str = "auto"
    """Hub name or folder of a Hugging Face model; ``minilm`` is the packaged 6-layer BERT; ``auto`` is
    ``bert-base-uncased`` where it can be had, else ``minilm``."""
    num_classes: int | None = None
    """Number of classes; taken from the data when it is not given."""
    device: str = "gpu"
    """``gpu`` (where there is one) or ``cpu``."""
    max_len: int = 512
    """Tokens kept of a text."""

    def __post_init__(self) -> None:
        one_of("victim.type", self.type, ("plm",))
        one_of("victim.device", self.device, ("gpu", "cpu", "cuda"))
        at_least("victim.max_len", self.max_len, 4)
        if self.num_classes is not None:
            at_least("victim.num_classes", self.num_classes, 2)


@dataclass(frozen=True)
class TrainConfig:
    """Section ``attacker.train``: how a victim is trained."""

    name: str = "base"
    """Only ``base``."""
    lr: float = 2e-5
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    epochs: int = 10
    """Passes through the rows."""
    batch_size: int = 32
    """Rows of one optimisation step on one device."""
    gradient_accumulation_steps: int = 1
    """Batches of one optimisation step."""
    max_grad_norm: float = 1.0
    """Clipping of the global gradient norm."""
    warm_up_epochs: float = 3
    """Epochs of linear warm-up, at most half of ``epochs``; then the rate falls linearly to 0."""
    ckpt: str = "best"
    """``best`` by accuracy on the clean dev rows (never the poisoned ones), or ``last``."""
    loss_function: str = "ce"
    """Only ``ce``, cross-entropy."""
    save_path: str = "./models"
    """Used by the real OpenBackdoor; the built-in host keeps trained models in its cache."""
    precision: str = "auto"
    """``auto`` (bfloat16 where it is a gain), ``bf16`` or ``fp32``."""
    seed: int | None = None
    """Seed of the training; the run's seed when it is not given."""
    visualize: bool = False
    """Only for the real OpenBackdoor; must be false here."""
    poison_setting: str | None = None
    """Used by the real OpenBackdoor to name its folders."""
    poison_method: str | None = None
    """Used by the real OpenBackdoor to name its folders."""
    poison_rate: float | None = None
    """Used by the real OpenBackdoor to name its folders."""

    def __post_init__(self) -> None:
        one_of("train.name", self.name.lower(), ("base",))
        one_of("train.ckpt", self.ckpt, ("best", "last"))
        one_of("train.loss_function", self.loss_function, ("ce",))
        one_of("train.precision", self.precision, ("auto", "bf16", "fp32"))
        at_least("train.epochs", self.epochs, 1)
        at_least("train.batch_size", self.batch_size, 1)
        at_least("train.gradient_accumulation_steps", self.gradient_accumulation_steps, 1)
        at_least("train.warm_up_epochs", self.warm_up_epochs, 0)
        at_least("train.weight_decay", self.weight_decay, 0)
        for key in ("lr", "max_grad_norm"):
            if not 0 < getattr(self, key) < math.inf:
                raise ConfigError(f"'train.{key}' must be above 0 and finite, but is {getattr(self, key)}.")
        if self.seed is not None:
            check_seed("train.seed", self.seed)
        if self.visualize:
            raise ConfigError("'train.visualize' draws pictures in the real OpenBackdoor only: set it to false.")


def train_spec(victim: VictimConfig, train: TrainConfig, *, num_labels: int, seed: int, path: str) -> TrainSpec:
    """The engine's spec of a training; ``path`` is the victim's path with ``auto`` resolved."""
    return TrainSpec(
        path=path,
        num_labels=num_labels,
        max_len=victim.max_len,
        lr=train.lr,
        weight_decay=train.weight_decay,
        epochs=train.epochs,
        batch_size=train.batch_size,
        warm_up_epochs=train.warm_up_epochs,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        max_grad_norm=train.max_grad_norm,
        ckpt=train.ckpt,
        device="cpu" if victim.device == "cpu" else "gpu",
        precision=train.precision,
        seed=train.seed if train.seed is not None else seed,
    )


@dataclass(frozen=True)
class BadLLMTGConfig(AuditConfig):
    """Section ``defender`` with ``"name": "badllmtg"``: the keys of an audit, and those of a defender."""

    name: str = "badllmtg"
    """The name under which it is registered."""
    pre: bool = True
    """It repairs the training rows before the victim is trained; only true."""
    correction: bool = False
    """OpenBackdoor's key for defences at test time; only false."""
    metrics: tuple[str, ...] = ("FRR", "FAR")
    """OpenBackdoor's key for detectors; not used."""
    llm: LLMConfig = field(default_factory=LLMConfig)
    """What proposes triggers: ``{"backend": "offline"}`` (default) mines the rows and asks no language model."""
    victim: VictimConfig | None = None
    """The probe's model; the attacked victim's when it is not given."""
    train: TrainConfig | None = None
    """The probe's training; the attacked victim's when it is not given."""
    in_place: bool = False
    """Repair the trained victim itself, by a short training on the repaired rows, instead of training a fresh one."""
    fine_tune: TrainConfig | None = None
    """That short training; two epochs of the victim's own when it is not given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pre or self.correction:
            raise ConfigError("'badllmtg' repairs training rows: set 'pre' to true and 'correction' to false.")
        if self.fine_tune is not None and not self.in_place:
            raise ConfigError("'defender.fine_tune' is for the repair in place: set 'defender.in_place' to true.")
        if self.search.strategy == "paper" and self.llm.backend == "offline":
            raise ConfigError(
                "'defender.search.strategy' is 'paper', which needs a language model: set 'defender.llm.backend' to "
                "openai, transformers or replay."
            )
