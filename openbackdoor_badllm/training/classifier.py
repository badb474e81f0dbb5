"""Training of a victim on transformers' ``Trainer``.

Mixed precision, several GPUs, gradient accumulation and checkpoints are the Trainer's. What is added here:
the trace of per-row confidence that stage (a) of the method reads, a training order
of our own (:mod:`.sampling`), and isolation from the global random generators.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile

import torch

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.rows import Example, fingerprint
from openbackdoor_badllm.training.checking import check_answers
from openbackdoor_badllm.training.lengths import room, shortened
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.rng import isolated_rng
from openbackdoor_badllm.training.scoring import FloatArray, Scorer
from openbackdoor_badllm.training.spec import Method, TrainSpec, use_bf16
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.tracing import Trace
from openbackdoor_badllm.training.victims import (
    load_classifier,
    load_tokenizer,
    pick_device,
    settle_padding,
    usable_length,
)


@dataclass
class TrainedClassifier:
    """A trained victim and what its training told.

    Attributes:
        losses: mean training loss of about every twentieth of the training.
        trace: the confidence in each training row's label; None of a model that was trained elsewhere.
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
        return Scorer(self.model, self.tokenizer, max_len=self.spec.max_len, bf16=use_bf16(self.spec, device))

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), num_labels)``."""
        return self.scorer().logits(texts)

    def readable(self, texts: Sequence[str]) -> list[str]:
        """The part of each text that the victim reads, with room for a trigger (:class:`..protocols.Limited`)."""
        return shortened(self.tokenizer, texts, self.spec.max_len - room(self.spec.max_len))

    def continued(self, examples: Sequence[Example], *, epochs: int = 1, lr_share: float = 0.5) -> TrainedClassifier:
        """A copy that is trained further on other rows; this model is left as it is and nothing is kept in a store.

        Args:
            examples: the rows.
            epochs: passes through them.
            lr_share: peak learning rate, as a share of the rate of the first training.
        """
        spec = self.spec.replace(
            epochs=epochs, lr=self.spec.lr * lr_share, ckpt="last", warm_up_epochs=0.1 * epochs
        )
        return train_classifier(spec, examples, start=self)


def train_classifier(
    spec: TrainSpec,
    examples: Sequence[Example],
    *,
    dev: Sequence[Example] | None = None,
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
        store: where trained models are kept; None keeps nothing.
        progress: listener.
        method: how the training differs from a plain one.
        start: a trained classifier whose weights, head included, the training starts from, instead of the pretrained
            ones of ``spec.path``; it is left as it is.

    Raises:
        VictimError: the pretrained model cannot be loaded, or cannot classify two texts at once.
    """
    progress = progress or Quiet()
    tokenizer = start.tokenizer if start is not None else load_tokenizer(spec.path)
    if store is None:
        with TemporaryDirectory(prefix="badllmtg-") as name:
            return _train(spec, tokenizer, examples, dev, Path(name), progress, method, start)
    key = training_key(store, spec, examples, dev=dev, method=method, start=start)
    with store.claim(key):
        found = _from_store(store, key, spec, tokenizer)
        if found is not None:
            progress.step(1, 1, "already trained")
            return found
        with store.workspace(key) as folder:
            trained = _train(spec, tokenizer, examples, dev, folder, progress, method, start)
        trained.key = key
        store.save(key, trained.model, {"losses": trained.losses, "seconds": trained.seconds}, trained.trace)
    return trained


def training_key(
    store: Store,
    spec: TrainSpec,
    examples: Sequence[Example],
    *,
    dev: Sequence[Example] | None = None,
    method: Method | None = None,
    start: TrainedClassifier | None = None,
) -> str:
    """The name under which the store keeps a training; the arguments are those of :func:`train_classifier`."""
    return store.key(
        **({"method": method.describe()} if method else {}),  # absent: the key of a plain training is as it was
        **({"start": weights_fingerprint(start.model)} if start else {}),
        spec=spec.model_dump(),
        model="" if start else store.model_fingerprint(spec.path),
        rows=fingerprint(examples),
        dev=fingerprint(dev) if dev and spec.ckpt == "best" else "",
        trace="each epoch",
        bf16=use_bf16(spec, pick_device(spec.device)),
    )


def _from_store(store: Store, key: str, spec: TrainSpec, tokenizer: Any) -> TrainedClassifier | None:
    found = store.load(key)
    if found is None:
        return None
    try:
        model = load_classifier(str(found.folder), spec.num_labels, spec.seed)
        settle_padding(model, tokenizer)
        return TrainedClassifier(
            model=model,
            tokenizer=tokenizer,
            spec=spec.replace(max_len=usable_length(model, spec.max_len, tokenizer)),
            losses=found.meta["losses"],
            trace=Trace.read(found.folder),
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
    folder: Path,
    progress: Progress,
    method: Method | None,
    start: TrainedClassifier | None,
) -> TrainedClassifier:
    # Here, as transformers' Trainer takes seconds to import, and most who ask for a victim find it trained already.
    from openbackdoor_badllm.training.trainer import fit

    model = copy.deepcopy(start.model) if start is not None else load_classifier(spec.path, spec.num_labels, spec.seed)
    settle_padding(model, tokenizer)
    spec = spec.replace(max_len=usable_length(model, spec.max_len, tokenizer))
    if start is None:
        check_answers(spec.path, model, tokenizer, spec.max_len)
    started = time.monotonic()
    if method is not None:
        with isolated_rng(spec.seed):
            method.prepare(model, tokenizer, spec)
    trained, losses, recorded = fit(model, tokenizer, spec, examples, dev, folder, progress, method)
    if method is not None:
        method.finish(trained)
    trained.eval()
    for parameter in trained.parameters():
        parameter.grad = None
    return TrainedClassifier(
        trained, tokenizer, spec, losses, recorded, seconds=time.monotonic() - started
    )


def weights_fingerprint(model: torch.nn.Module) -> str:
    """What identifies the weights of a model: the hash of their names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
