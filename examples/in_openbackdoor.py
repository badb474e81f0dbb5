"""Plants, defends and measures with OpenBackdoor's objects, which are built in: the real framework is not needed."""

from openbackdoor_badllm.openbackdoor.builtin import (
    load_dataset,
    load_defender,
    load_poisoner,
    load_trainer,
    load_victim,
)

clean = load_dataset(name="demo", max_train=240, max_test=200)
poisoner = load_poisoner({"name": "badnets", "target_label": 1, "poison_rate": 0.2, "label_dirty": True})
poisoned = poisoner(clean, "train")
test = poisoner(clean, "eval")

settings = {"epochs": 12, "lr": 1e-4, "ckpt": "last"}
defender = load_defender({"name": "badllmtg", "victim": {"path": "minilm"}, "train": settings, "from_scratch": True})
repaired = {**poisoned, "train": defender.correct(poison_data=poisoned["train"])}
for name, rows in {"undefended": poisoned, "defended": repaired}.items():
    victim = load_trainer(settings).train(load_victim({"path": "minilm", "num_classes": 2}), rows)
    said = {split: victim.logits([row.text for row in part]).argmax(axis=1) for split, part in test.items()}
    share = {
        split: sum(label == row.label for label, row in zip(said[split], part, strict=True)) / len(part)
        for split, part in test.items()
    }
    print(f"{name}: CACC {share['test-clean']:.1%}, ASR {share['test-poison']:.1%}")
