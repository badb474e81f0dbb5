"""The sections of a config that several modules share: the victim, its training, and the keys of defenders.

OpenBackdoor's JSON passes whole sections as keyword arguments and swallows what it does not know; a misspelt key is
silently a default there. Here each section is a :class:`~openbackdoor_badllm.section.Section`: a key is defined once,
with its bounds, its default and its meaning. The sections of data sets, language models and the baselines stand where
they are used; ``docs/configuration.md`` has them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.section import AnyCase, Section, Seed, Whole
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.spec import TrainingKeys, TrainSpec

if TYPE_CHECKING:
    from typing import Self

Classes = Annotated[Whole, Field(ge=2)]


class VictimConfig(Section):
    """Section ``victim``: the classifier that is attacked."""

    place: ClassVar[str] = "victim"

    type: Literal["plm"] = "plm"
    """Only ``plm``: a pretrained language model with a classification head."""
    model: str = "bert"
    """OpenBackdoor's name of the encoder's attribute; not needed here, kept for the real framework."""
    path: str = "auto"
    """Hub name or folder of a Hugging Face model; ``minilm`` is the packaged 6-layer BERT; ``auto`` is
    ``bert-base-uncased`` where it can be had, else ``minilm``."""
    num_classes: Classes | None = None
    """Number of classes; taken from the data when it is not given."""
    device: Literal["gpu", "cpu", "cuda"] = "gpu"
    """``gpu`` (where there is one; ``cuda`` is the same) or ``cpu``."""
    max_len: Annotated[Whole, Field(ge=4)] = 512
    """Tokens kept of a text."""


class TrainConfig(TrainingKeys):
    """Section ``attacker.train``: how a victim is trained."""

    place: ClassVar[str] = "train"

    name: Annotated[Literal["base"], AnyCase] = "base"
    """Only ``base``."""
    loss_function: Literal["ce"] = "ce"
    """Only ``ce``, cross-entropy."""
    save_path: str = "./models"
    """Used by the real OpenBackdoor; the built-in host keeps trained models in its cache."""
    seed: Seed | None = None
    """Seed of the training; the run's seed when it is not given."""
    visualize: Literal[False] = False
    """Draws pictures in the real OpenBackdoor only; must be false here."""
    poison_setting: str | None = None
    """Used by the real OpenBackdoor to name its folders."""
    poison_method: str | None = None
    """Used by the real OpenBackdoor to name its folders."""
    poison_rate: float | None = None
    """Used by the real OpenBackdoor to name its folders."""


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class AttackerConfig(Section):
    """Section ``attacker``: how the rows are poisoned and the victim is trained on them."""

    place: ClassVar[str] = "attacker"

    name: Annotated[Literal["base"], AnyCase] = "base"
    """Only ``base``; OpenBackdoor's other attackers need the real framework."""
    metrics: Annotated[tuple[Literal["accuracy"], ...], BeforeValidator(_listed)] = ("accuracy",)
    """Only ``accuracy``."""
    sample_metrics: Annotated[tuple[str, ...], Field(max_length=0)] = ()
    """Must be empty on the built-in host; perplexity, grammar and USE need models of their own."""
    poisoner: dict[str, Any] | None = None
    """Keys of the poisoner, read by its own section class."""
    train: dict[str, Any] | None = None
    """Keys of the training, read by its own section class."""


def train_spec(victim: VictimConfig, train: TrainConfig, *, num_labels: int, seed: int, path: str) -> TrainSpec:
    """The engine's spec of a training; ``path`` is the victim's path with ``auto`` resolved."""
    return TrainSpec.of(
        train,
        path=path,
        num_labels=num_labels,
        max_len=victim.max_len,
        device="cpu" if victim.device == "cpu" else "gpu",
        seed=train.seed if train.seed is not None else seed,
    )


ALONE_VICTIM = VictimConfig(max_len=128)
ALONE_TRAIN = TrainConfig(epochs=4, lr=5e-5, warm_up_epochs=0.5, ckpt="last")
"""The model and training of a defender that trains one, where nobody tells it those of the attacked victim."""


class DefenderKeys(Section):
    """Keys of every defender."""

    place: ClassVar[str] = "defender"

    name: str = ""
    """The name under which it is registered."""
    pre: bool = False
    """It acts on the training rows, before the victim is trained; fixed by the defender."""
    correction: bool = False
    """At test time it rewrites texts instead of flagging them; fixed by most defenders."""
    metrics: tuple[str, ...] = ("FRR", "FAR")
    """OpenBackdoor's key for detectors; all figures are always given."""
    seed: Seed = 42
    """Seed of everything that is drawn; no global generator is touched."""


class CleanRowsKeys(DefenderKeys):
    """Keys of a defender at test time that is calibrated on clean rows."""

    pre: Literal[False] = False
    """It acts at test time; only false."""
    clean_rows: Annotated[Whole, Field(ge=20)] = 400
    """Clean rows that it is given, drawn from dev, never from test; half to construct, half to calibrate. Fewer where
    dev has fewer."""


class BadLLMTGConfig(AuditConfig, DefenderKeys):
    """Section ``defender`` with ``"name": "badllmtg"``: the keys of an audit, and those of a defender."""

    name: str = "badllmtg"
    """The name under which it is registered."""
    pre: Literal[True] = True
    """It repairs the training rows before the victim is trained; only true."""
    correction: Literal[False] = False
    """OpenBackdoor's key for defences at test time; only false."""
    llm: LLMConfig = LLMConfig()
    """What proposes triggers: ``{"backend": "offline"}`` (default) mines the rows and asks no language model."""
    victim: VictimConfig | None = None
    """The model of the victim that is audited, where none is handed over; the attacked victim's when not given."""
    train: TrainConfig | None = None
    """Its training; the attacked victim's when not given."""
    from_scratch: bool = True
    """True: the repaired rows come back and a fresh victim is trained on them, as OpenBackdoor wants it. False: the
    trained victim is trained a little further; the built-in host and ``badllmtg audit`` take this where a config says
    nothing."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.search.strategy == "paper" and self.llm.backend == "offline":
            raise ValueError(
                "'{here}.search.strategy' is 'paper', which needs a language model: set '{here}.llm.backend' to "
                "openai, transformers or replay."
            )
        return self
