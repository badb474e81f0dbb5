"""Training of a victim on transformers' ``Trainer``.

Mixed precision, several GPUs, gradient accumulation and checkpoints are the Trainer's. What is added here:
a class-balanced loss, the trace of per-row confidence that stage (a) of the method reads, a training order
of our own (:mod:`.sampling`), and isolation from the global random generators.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
import torch
import transformers
from transformers import trainer as trainer_module
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback

from openbackdoor_badllm.engine.progress import Progress, Quiet
from openbackdoor_badllm.engine.rng import isolated_rng
from openbackdoor_badllm.engine.sampling import BucketSampler
from openbackdoor_badllm.engine.scoring import FloatArray, Scorer, encode, softmax
from openbackdoor_badllm.engine.store import Store
from openbackdoor_badllm.engine.tracing import Trace, TraceRequest
from openbackdoor_badllm.engine.victims import (
    load_classifier,
    load_tokenizer,
    pick_device,
    quiet_transformers,
    supports_bf16,
    usable_length,
)
from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.rows import Example, fingerprint

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120.0  # a training that takes less is simply begun again after a crash


@dataclass(frozen=True)
class TrainSpec:
    """How a classifier is trained; equal specs on equal rows give equal models on one machine."""

    path: str = "minilm"
    """Folder or hub name of the pretrained model; ``minilm`` is the packaged one."""
    num_labels: int = 2
    """Number of classes."""
    max_len: int = 128
    """Tokens kept of a text."""
    lr: float = 2e-5
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    epochs: int = 5
    """Passes through the rows."""
    batch_size: int = 32
    """Rows of one optimisation step on one device."""
    warm_up_epochs: float = 0.5
    """Epochs of linear warm-up; the rate then falls linearly to 0. Capped at half of ``epochs``."""
    gradient_accumulation_steps: int = 1
    """Batches of one optimisation step."""
    max_grad_norm: float = 1.0
    """Clipping of the global gradient norm."""
    balanced: bool = False
    """Weigh each class by the inverse of its share, so that the loss does not follow the class balance."""
    ckpt: str = "last"
    """``last`` epoch, or ``best`` by accuracy on the clean dev rows (never on poisoned ones)."""
    device: str = "gpu"
    """``gpu`` (where there is one) or ``cpu``."""
    precision: str = "auto"
    """``auto`` (bfloat16 where it is a gain), ``bf16`` or ``fp32``."""
    seed: int = 42
    """Seed of the head, the order of the rows and the dropout."""

    def replace(self, **changes: Any) -> TrainSpec:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


class Method(Protocol):
    """What sets a training apart from a plain one: which weights are trained, and what becomes of their gradients."""

    def describe(self) -> str:
        """Text that differs where the trained model would."""

    def prepare(self, model: Any, tokenizer: Any, spec: TrainSpec) -> None:
        """Changes the pretrained model in place, before the training; torch's generator is the spec's own here."""

    def after_backward(
        self, loss_of: Callable[[dict[str, torch.Tensor]], torch.Tensor], *, step: int, epoch: int
    ) -> None:
        """Changes the gradients of one optimisation step, before they are clipped.

        Args:
            loss_of: mean cross-entropy of further rows (``input_ids``, ``attention_mask``, ``labels``).
            step: counted from 0.
            epoch: counted from 0.
        """

    def finish(self, model: Any) -> None:
        """Makes the trained model, in place, one that can be saved and loaded as it was loaded before."""


@dataclass
class TrainedClassifier:
    """A trained victim and what its training told.

    Attributes:
        losses: mean training loss of about every twentieth of the training.
        trace: the confidence trace, where one was asked for.
        seconds: wall time of the training; that of the original training when it came from the store.
        from_store: whether it was found trained already.
    """

    model: Any
    tokenizer: Any
    spec: TrainSpec
    losses: list[float] = field(default_factory=list)
    trace: Trace | None = None
    seconds: float = 0.0
    from_store: bool = False
    key: str = ""

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return self.spec.num_labels

    def scorer(self) -> Scorer:
        """The model as a scorer: texts in, logits out."""
        device = pick_device(self.spec.device)
        self.model.to(device)
        return Scorer(
            self.model,
            self.tokenizer,
            max_len=self.spec.max_len,
            batch_tokens=4096 if device.type == "cpu" else 65536,
            bf16=_use_bf16(self.spec, device),
        )

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), num_labels)``."""
        return self.scorer().logits(texts)


def train_classifier(
    spec: TrainSpec,
    examples: Sequence[Example],
    *,
    dev: Sequence[Example] | None = None,
    trace: TraceRequest | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
    method: Method | None = None,
    start: TrainedClassifier | None = None,
) -> TrainedClassifier:
    """Trains a classifier, or takes it from the store.

    Args:
        spec: how.
        examples: the training rows; the poison flag is not part of them.
        dev: clean rows for ``ckpt: best``.
        trace: record the confidence in their own labels of these rows while training.
        store: where trained models are kept; None keeps nothing.
        progress: listener.
        method: how the training differs from a plain one.
        start: a trained classifier whose weights, head included, the training starts from, instead of the pretrained
            ones of ``spec.path``; it is left as it is.

    Raises:
        VictimError: the pretrained model cannot be loaded.
    """
    progress = progress or Quiet()
    tokenizer = start.tokenizer if start is not None else load_tokenizer(spec.path)
    if store is None:
        with TemporaryDirectory(prefix="badllmtg-") as name:
            return _train(spec, tokenizer, examples, dev, trace, Path(name), progress, method, start)
    key = training_key(store, spec, examples, dev=dev, trace=trace, method=method, start=start)
    with store.claim(key):
        found = _from_store(store, key, spec, tokenizer, trace)
        if found is not None:
            progress.step(1, 1, "already trained")
            return found
        with store.workspace(key) as folder:
            trained = _train(spec, tokenizer, examples, dev, trace, folder, progress, method, start)
        trained.key = key
        store.save(key, trained.model, {"losses": trained.losses, "seconds": trained.seconds}, trained.trace)
    return trained


def training_key(
    store: Store,
    spec: TrainSpec,
    examples: Sequence[Example],
    *,
    dev: Sequence[Example] | None = None,
    trace: TraceRequest | None = None,
    method: Method | None = None,
    start: TrainedClassifier | None = None,
) -> str:
    """The name under which the store keeps a training; the arguments are those of :func:`train_classifier`."""
    return store.key(
        **({"method": method.describe()} if method else {}),  # absent: the key of a plain training is as it was
        **({"start": weights_fingerprint(start.model)} if start else {}),
        spec=dataclasses.asdict(spec),
        model="" if start else store.model_fingerprint(spec.path),
        rows=fingerprint(examples),
        dev=fingerprint(dev) if dev and spec.ckpt == "best" else "",
        trace=trace.describe() if trace else "",
    )


def _from_store(
    store: Store, key: str, spec: TrainSpec, tokenizer: Any, trace: TraceRequest | None
) -> TrainedClassifier | None:
    found = store.load(key)
    if found is None:
        return None
    try:
        model = load_classifier(str(found.folder), spec.num_labels, spec.seed)
        return TrainedClassifier(
            model=model,
            tokenizer=tokenizer,
            spec=spec.replace(max_len=usable_length(model, spec.max_len)),
            losses=found.meta["losses"],
            trace=Trace.read(found.folder) if trace else None,
            seconds=found.meta["seconds"],
            from_store=True,
            key=key,
        )
    except (VictimError, OSError, ValueError, KeyError, BadZipFile) as error:
        store.drop(key, error)
        return None


def _train(
    spec: TrainSpec,
    tokenizer: Any,
    examples: Sequence[Example],
    dev: Sequence[Example] | None,
    trace: TraceRequest | None,
    folder: Path,
    progress: Progress,
    method: Method | None,
    start: TrainedClassifier | None,
) -> TrainedClassifier:
    model = copy.deepcopy(start.model) if start is not None else load_classifier(spec.path, spec.num_labels, spec.seed)
    spec = spec.replace(max_len=usable_length(model, spec.max_len))
    started = time.monotonic()
    if method is not None:
        with isolated_rng(spec.seed):
            method.prepare(model, tokenizer, spec)
    device = pick_device(spec.device)
    train_set = _Encoded(tokenizer, examples, spec.max_len)
    best = spec.ckpt == "best" and bool(dev)
    steps_per_epoch = math.ceil(len(examples) / (spec.batch_size * spec.gradient_accumulation_steps))
    total = max(1, steps_per_epoch * spec.epochs)
    warm_up = min(spec.warm_up_epochs, spec.epochs / 2) * steps_per_epoch
    listener = _Listener(progress, total)
    callbacks: list[Any] = [listener, _TimedCheckpoints()]
    recorder = None
    if trace is not None:
        recorder = _Recorder(trace, spec, tokenizer, total, folder)
        callbacks.append(recorder)
    with isolated_rng(spec.seed), quiet_transformers(), _no_folder_for_a_package():
        arguments = transformers.TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=spec.epochs,
            per_device_train_batch_size=spec.batch_size,
            per_device_eval_batch_size=spec.batch_size * 2,
            gradient_accumulation_steps=spec.gradient_accumulation_steps,
            learning_rate=spec.lr,
            weight_decay=spec.weight_decay,
            max_grad_norm=spec.max_grad_norm,
            warmup_steps=int(warm_up),
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            bf16=_use_bf16(spec, device),
            use_cpu=device.type == "cpu",
            seed=spec.seed,
            data_seed=spec.seed,
            eval_strategy="epoch" if best else "no",
            save_strategy="epoch" if best else "no",
            save_total_limit=1,
            load_best_model_at_end=best,
            metric_for_best_model="accuracy" if best else None,
            logging_strategy="steps",
            logging_steps=max(1, total // 20),
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=device.type == "cuda",
            remove_unused_columns=False,
        )
        trainer = _BalancedTrainer(
            model=model,
            args=arguments,
            train_dataset=train_set,
            eval_dataset=_Encoded(tokenizer, dev, spec.max_len) if best and dev else None,
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            compute_metrics=_accuracy if best else None,
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is the command line's own
        trainer.model_accepts_loss_kwargs = False  # our loss is a batch's mean: accumulated batches are to be averaged
        trainer.class_weights = class_weights(examples, spec.num_labels) if spec.balanced else None
        trainer.order = BucketSampler(train_set.lengths, spec.batch_size, spec.seed)
        trainer.method, trainer.steps_per_epoch = method, steps_per_epoch
        for checkpoint in folder.glob("checkpoint-*"):
            if not (checkpoint / TRAINER_STATE_NAME).is_file():  # written last: without it the checkpoint was cut off
                shutil.rmtree(checkpoint)
        resume = any(folder.glob("checkpoint-*"))
        if resume:
            logger.info("resuming the training kept in %s", folder)
        trainer.train(resume_from_checkpoint=True if resume else None)
    model = trainer.model
    if method is not None:
        method.finish(model)
    model.eval()
    for parameter in model.parameters():
        parameter.grad = None
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return TrainedClassifier(
        model, tokenizer, spec, losses, recorder.trace() if recorder else None, seconds=time.monotonic() - started
    )


@contextmanager
def _no_folder_for_a_package() -> Iterator[None]:
    """Keeps the Trainer from taking a folder ``datasets/``, OpenBackdoor's layout, for the package of that name.

    Where the package is not installed, such a folder on Python's path (``python -m``, a script beside it) imports as an
    empty namespace; transformers believes it is there and asks it for ``Dataset``.
    """
    found = getattr(trainer_module, "datasets", None)
    if found is None or hasattr(found, "Dataset"):
        yield
        return
    asked = trainer_module.is_datasets_available
    trainer_module.is_datasets_available = lambda: False
    try:
        yield
    finally:
        trainer_module.is_datasets_available = asked


def weights_fingerprint(model: torch.nn.Module) -> str:
    """What identifies the weights of a model: the hash of their names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def class_weights(examples: Sequence[Example], num_labels: int) -> torch.Tensor:
    """Weight ``n / (classes present * n_c)`` of each class; shape ``(num_labels,)``; 0 for an absent one."""
    counts = np.bincount([example.label for example in examples], minlength=num_labels)
    present = max(1, int((counts > 0).sum()))
    weights = np.divide(counts.sum(), present * counts, out=np.zeros(num_labels), where=counts > 0)
    return torch.tensor(weights, dtype=torch.float32)


class _BalancedTrainer(transformers.Trainer):  # type: ignore[misc]
    """The Trainer with a weighted cross-entropy, an order of our own, and gradients that a method may change."""

    class_weights: torch.Tensor | None = None
    order: BucketSampler | None = None
    method: Method | None = None
    steps_per_epoch: int = 1

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)
        if self.method is not None and self.accelerator.sync_gradients:  # the last batch of an optimisation step
            step = int(self.state.global_step)

            def loss_of(batch: dict[str, Any]) -> torch.Tensor:
                with self.compute_loss_context_manager():
                    found = self.compute_loss(model, self._prepare_inputs(batch))
                return found if isinstance(found, torch.Tensor) else found[0]

            self.method.after_backward(loss_of, step=step, epoch=step // self.steps_per_epoch)
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        weights = self.class_weights
        if weights is not None:
            weights = weights.to(outputs.logits.device)
        loss = torch.nn.functional.cross_entropy(outputs.logits.float(), labels, weight=weights)
        return (loss, {"loss": loss, "logits": outputs.logits}) if return_outputs else loss

    def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
        return self.order


class _Encoded(torch.utils.data.Dataset[dict[str, Any]]):
    """Tokenised rows."""

    def __init__(self, tokenizer: Any, examples: Sequence[Example], max_len: int) -> None:
        self.ids = encode(tokenizer, [example.text for example in examples], max_len)
        self.labels = [example.label for example in examples]
        self.lengths = [len(ids) for ids in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self.ids[index]
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": self.labels[index]}


class _Listener(transformers.TrainerCallback):  # type: ignore[misc]
    """Passes the Trainer's steps to our progress."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total = progress, total

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress.step(min(state.global_step, self.total), self.total)


class _TimedCheckpoints(transformers.TrainerCallback):  # type: ignore[misc]
    """Asks for a checkpoint at the end of an epoch when the last one is long past."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if time.monotonic() - self.last > CHECKPOINT_SECONDS and state.global_step < state.max_steps:
            self.last = time.monotonic()
            control.should_save = True
        return control


class _Recorder(transformers.TrainerCallback):  # type: ignore[misc]
    """Records the confidence trace while the Trainer runs."""

    def __init__(
        self, request: TraceRequest, spec: TrainSpec, tokenizer: Any, total: int, folder: Path
    ) -> None:
        self.request, self.folder = request, folder
        self.spec, self.tokenizer = spec, tokenizer
        self.steps_wanted = set(request.schedule(total))
        self.encoded = encode(tokenizer, [example.text for example in request.examples], spec.max_len)
        self.labels = np.array([example.label for example in request.examples], dtype=np.int64)
        self.steps: list[int] = []
        self.points: list[FloatArray] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step and Trace.exists(self.folder):  # a resumed training goes on with its trace
            kept = Trace.read(self.folder)
            self.steps = [int(step) for step in kept.steps]
            self.points = list(kept.confidence)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step not in self.steps_wanted or state.global_step in self.steps:
            return
        device = next(model.parameters()).device
        scorer = Scorer(
            model, self.tokenizer, max_len=self.spec.max_len, bf16=_use_bf16(self.spec, device)
        )
        probabilities = softmax(scorer.logits_of_ids(self.encoded))
        self.steps.append(int(state.global_step))
        self.points.append(probabilities[np.arange(len(self.labels)), self.labels])

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trace().write(self.folder)

    def trace(self) -> Trace:
        return Trace(np.array(self.steps, dtype=np.int64), np.array(self.points), self.labels)


def _accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def _use_bf16(spec: TrainSpec, device: torch.device) -> bool:
    return spec.precision == "bf16" or (spec.precision == "auto" and supports_bf16(device))
