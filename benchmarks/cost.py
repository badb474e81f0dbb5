"""What the whole of the defence costs, in plain trainings.

A plain training is ``transformers.Trainer`` on the same rows, from the same pretrained weights, with the same epochs,
batch size and learning rate. The whole is everything until the repaired model is on disk: the victim's own training,
the three stages, the repair in place, the saving. Both are timed one after the other in one process, several times; the
ratio is that of the medians.

    python benchmarks/cost.py --rows 800 --repeats 5 --cases insertion,clean,style,given --json cost.json

The demo corpus has 4,000 training rows. For more, name a config of another data set: ``--config`` with ``--data-root``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from rich.console import Console

from openbackdoor_badllm.config import TrainConfig, VictimConfig, train_spec
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.errors import ConfigError, UserError
from openbackdoor_badllm.evaluation.experiment import resolve
from openbackdoor_badllm.evaluation.usage import PeakMemory
from openbackdoor_badllm.openbackdoor.host import open_host
from openbackdoor_badllm.reading import load_json
from openbackdoor_badllm.rows import Example, as_rows, blind
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.scoring import encode
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.trained import save_trained
from openbackdoor_badllm.training.victims import load_classifier, load_tokenizer

CONSOLE = Console(highlight=False)
CASES = ("insertion", "clean", "style", "given")
CONFIGS = {"style": Path("configs/demo_stylebkd_badllmtg.json")}
DEFAULT = Path("configs/demo_badnets_badllmtg.json")


def plain(spec: TrainSpec, rows: Sequence[Example], folder: Path) -> None:
    """One training by ``transformers.Trainer`` with its defaults; the model ends on disk."""
    tokenizer = load_tokenizer(spec.path)
    ids = encode(tokenizer, [row.text for row in rows], spec.max_len)
    data = [
        {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": row.label}
        for tokens, row in zip(ids, rows, strict=True)
    ]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=spec.epochs, per_device_train_batch_size=spec.batch_size,
        learning_rate=spec.lr, weight_decay=spec.weight_decay, seed=spec.seed, report_to="none", save_strategy="no",
        disable_tqdm=True, logging_strategy="no", use_cpu=not torch.cuda.is_available(),
    )
    trainer = transformers.Trainer(
        model=load_classifier(spec.path, spec.num_labels, spec.seed), args=arguments, train_dataset=data,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    trainer.save_model(str(folder / "plain"))


class Case:
    """The rows and the training of one case.

    Args:
        name: one of :data:`CASES`.
        config: the resolved config of an attack.
        rows: training rows.
    """

    def __init__(self, name: str, config: dict[str, Any], rows: int) -> None:
        host = open_host()
        config = host.set_config(config)
        attacker = host.load_attacker(config["attacker"])
        data = host.load_dataset(**config["poison_dataset"])
        made = data["train"] if name == "clean" else attacker.poison(
            host.load_victim(config["victim"]), data, "train"
        )["train"]
        self.name, self.rows = name, as_rows(made)
        if len(self.rows) < rows:
            raise ConfigError(
                f"The data set has {len(self.rows)} training rows, but --rows asks for {rows}: name a larger one with "
                "--config and --data-root."
            )
        victim, train = read(VictimConfig, config["victim"], "victim"), attacker.poison_trainer.config
        self.defender = {**config["defender"], "from_scratch": False}
        self.keys: tuple[VictimConfig, TrainConfig] = victim, train
        self.spec = train_spec(
            victim, train, num_labels=data.info.num_classes, seed=42, path=host.load_victim(config["victim"]).path
        ).replace(ckpt="last")

    def plain(self, folder: Path) -> dict[str, float]:
        """Seconds of a plain training."""
        return {"plain": seconds(lambda: plain(self.spec, blind(self.rows), folder))}

    def whole(self, folder: Path, given: TrainedClassifier | None) -> dict[str, float]:
        """Seconds of the stages, and of the whole."""
        started = time.monotonic()
        laps: dict[str, float] = {}
        if given is None:
            begun = time.monotonic()
            given = train_classifier(self.spec, blind(self.rows))
            laps["victim's own training"] = time.monotonic() - begun
        defender = BadLLMTG(**self.defender)
        defender.attach(*self.keys)
        begun = time.monotonic()
        clean = defender.rebuild(_Holder(given), self.rows, [], self.spec.num_labels)
        if defender.report is None:
            raise RuntimeError("the defender made no report")
        laps |= defender.report.seconds
        laps["repair in place"] = time.monotonic() - begun - sum(defender.report.seconds.values())
        begun = time.monotonic()
        save_trained(clean, folder / "clean", [str(label) for label in range(self.spec.num_labels)])
        laps["saving"] = time.monotonic() - begun
        return {**laps, "whole": time.monotonic() - started, "found": float(defender.report.backdoor)}


class _Holder:
    """A classifier in the place of a host's victim."""

    def __init__(self, trained: TrainedClassifier) -> None:
        self.trained = trained


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Medians of the plain training and of the whole, and their ratio."""
    given = train_classifier(case.spec, blind(case.rows)) if case.name == "given" else None
    runs: list[dict[str, float]] = []
    memory: dict[str, list[float]] = {"plain": [], "whole": []}
    for number in range(repeats):
        with TemporaryDirectory(prefix="badllmtg-cost-") as name:
            with PeakMemory() as first:
                run = case.plain(Path(name))
            with PeakMemory() as second:
                run |= case.whole(Path(name), given)
        memory["plain"].append(first.host)
        memory["whole"].append(second.host)
        runs.append(run)
        CONSOLE.print(f"{case.name} {number + 1}/{repeats}: plain {run['plain']:.1f} s, whole {run['whole']:.1f} s")
    medians = {key: statistics.median(run.get(key, 0.0) for run in runs) for key in runs[0]}
    peaks = {key: statistics.median(values) for key, values in memory.items()}
    return {
        "ratio": medians["whole"] / medians["plain"],
        "ratios": [run["whole"] / run["plain"] for run in runs],
        "found": medians.pop("found"),
        "seconds": medians,
        "memory_mb": peaks,
        "memory_ratio": peaks["whole"] / peaks["plain"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the cases; exit code 2 for bad input."""
    parser = argparse.ArgumentParser(description="Seconds of the defence in plain trainings.")
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", default=",".join(CASES), help="with commas: insertion, clean, style, given")
    parser.add_argument("--config", type=Path, help="config of the attack; the demo's without it")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        names = [name.strip() for name in options.cases.split(",") if name.strip()]
        if not names or any(name not in CASES for name in names):
            raise ConfigError(f"--cases expects some of {', '.join(CASES)}, but got '{options.cases}'.")
        told: dict[str, Any] = {
            "rows": options.rows, "threads": options.threads, "torch": torch.__version__, "ratios": {}, "cases": {},
        }  # fmt: skip
        for name in names:
            config = resolve(
                load_json(options.config or CONFIGS.get(name, DEFAULT)), profile="desk", data_root=options.data_root,
                overrides=[f"{part}.max_train={options.rows}" for part in ("target_dataset", "poison_dataset")],
            )
            told["cases"][name] = measure(Case(name, config, options.rows), options.repeats)
            told["ratios"][name] = round(told["cases"][name]["ratio"], 3)
            if options.json is not None:
                options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    except UserError as error:
        Console(stderr=True).print(str(error), markup=False, soft_wrap=True)
        return 2
    CONSOLE.print_json(data=told["ratios"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
