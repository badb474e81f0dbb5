"""One training on transformers' ``Trainer``, which takes seconds to import: this is imported where a training begins.

:mod:`.classifier` is the door: what is trained, and how, is said there.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import trainer as trainer_module
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.rng import isolated_rng
from openbackdoor_badllm.training.sampling import BucketSampler
from openbackdoor_badllm.training.scoring import encode
from openbackdoor_badllm.training.spec import Method, TrainSpec, use_bf16
from openbackdoor_badllm.training.tracing import Trace, TraceRecorder
from openbackdoor_badllm.training.victims import pick_device, quiet_transformers

logger = logging.getLogger(__name__)

ROWS = "row_index"  # column of a batch: which training rows it holds
CHECKPOINT_SECONDS = 120.0  # a training that takes less is simply begun again after a crash


def fit(
    model: Any,
    tokenizer: Any,
    spec: TrainSpec,
    examples: Sequence[Example],
    dev: Sequence[Example] | None,
    folder: Path,
    progress: Progress,
    method: Method | None,
) -> tuple[Any, list[float], Trace]:
    """Trains a loaded model; ``folder`` holds its checkpoints, from which a training that was cut off goes on.

    Returns:
        The model, its mean losses, and the trace of its training rows.
    """
    device = pick_device(spec.device)
    train_set = _Encoded(tokenizer, examples, spec.max_len)
    best = spec.ckpt == "best" and bool(dev)
    steps_per_epoch = math.ceil(len(examples) / (spec.batch_size * spec.gradient_accumulation_steps))
    total = max(1, steps_per_epoch * spec.epochs)
    warm_up = min(spec.warm_up_epochs, spec.epochs / 2) * steps_per_epoch
    labels = np.array([example.label for example in examples], dtype=np.int64)
    recorder = TraceRecorder(labels, spec.epochs, steps_per_epoch)
    callbacks: list[Any] = [_Listener(progress, total), _TimedCheckpoints(), _KeepsTrace(recorder, folder)]
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
            bf16=use_bf16(spec, device),
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
        trainer = _Trainer(
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
        trainer.order = BucketSampler(train_set.lengths, spec.batch_size, spec.seed)
        trainer.method, trainer.steps_per_epoch, trainer.recorder = method, steps_per_epoch, recorder
        for checkpoint in folder.glob("checkpoint-*"):
            if not (checkpoint / TRAINER_STATE_NAME).is_file():  # written last: without it the checkpoint was cut off
                shutil.rmtree(checkpoint)
        resume = any(folder.glob("checkpoint-*"))
        if resume:
            logger.info("resuming the training kept in %s", folder)
            recorder.resume(folder)
        trainer.train(resume_from_checkpoint=True if resume else None)
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return trainer.model, losses, recorder.trace()


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


class _Trainer(transformers.Trainer):  # type: ignore[misc]
    """The Trainer with a trace of its rows, an order of our own, and gradients that a method may change."""

    order: BucketSampler | None = None
    method: Method | None = None
    steps_per_epoch: int = 1
    recorder: TraceRecorder | None = None

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
        labels, rows = inputs["labels"], inputs.get(ROWS)
        outputs = model(**{name: value for name, value in inputs.items() if name not in ("labels", ROWS)})
        loss = torch.nn.functional.cross_entropy(outputs.logits.float(), labels)
        if self.recorder is not None and rows is not None and model.training:
            said = outputs.logits.detach().float().softmax(dim=-1).gather(1, labels[:, None])[:, 0]
            self.recorder.add(int(self.state.global_step), rows.cpu().numpy(), said.cpu().numpy())
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
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": self.labels[index], ROWS: index}


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


class _KeepsTrace(transformers.TrainerCallback):  # type: ignore[misc]
    """Keeps the trace beside each checkpoint, so that a resumed training goes on with it."""

    def __init__(self, recorder: TraceRecorder, folder: Path) -> None:
        self.recorder, self.folder = recorder, folder

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.recorder.write(self.folder)


def _accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}
