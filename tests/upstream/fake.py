"""A framework with OpenBackdoor's interface and its traps, written to a folder; all of it is ours.

The traps: ``AdamW`` taken from transformers, heavy packages imported at the top, the root logger replaced, environment
variables set and the global generators drawn from at import, prints, a paraphraser built in a constructor, an error
swallowed where a text is rewritten, poisoned rows in one tail, a detector's rows drawn apart from the scored ones.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

FILES = {
    "__init__.py": """
        from . import utils, data, victims, trainers, defenders, attackers
        """,
    "utils.py": """
        import logging, os, random
        import jsonlines
        import numpy as np
        import torch
        logger = logging.getLogger()
        logger.setLevel(logging.INFO)
        logger.handlers = [logging.StreamHandler()]
        os.environ["TOKENIZERS_PARALLELISM"] = "False"
        os.environ["FAKE_FRAMEWORK_WAS_HERE"] = "1"
        random.random(), np.random.rand(), torch.rand(1)
        print("the framework speaks")
        """,
    "data.py": """
        def load_dataset(**config):
            raise NotImplementedError
        """,
    "trainers.py": """
        import os, time
        import torch
        from transformers import AdamW
        from umap import UMAP
        if os.environ.get("FAKE_FRAMEWORK_FAILS"):
            raise ImportError("something is gone")

        class Trainer:
            def __init__(self, lr=1e-3, epochs=1, batch_size=8, save_path="./models", ckpt="best", **rest):
                self.lr, self.epochs, self.batch_size = lr, epochs, batch_size
                self.save_path = os.path.join(save_path, str(int(time.time())))
                os.makedirs(self.save_path, exist_ok=True)

            def train(self, model, dataset, metrics=("accuracy",)):
                if not any(split.startswith("dev") for split in dataset):
                    raise FileNotFoundError("best.ckpt")
                optimizer = AdamW(model.parameters(), lr=self.lr)
                model.train()
                rows = list(dataset["train"])
                for _ in range(self.epochs):
                    for start in torch.randperm(len(rows)).split(self.batch_size):
                        batch = [rows[i] for i in start.tolist()]
                        inputs, labels = model.process(
                            {"text": [row[0] for row in batch], "label": torch.LongTensor([row[1] for row in batch])})
                        loss = torch.nn.functional.cross_entropy(model(inputs).logits, labels)
                        optimizer.zero_grad(); loss.backward(); optimizer.step()
                torch.save(model.state_dict(), os.path.join(self.save_path, "best.ckpt"))
                return model

        TRAINERS = {"base": Trainer}
        def load_trainer(config):
            return TRAINERS[config["name"].lower()](**config)
        """,
    "victims.py": """
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

        class PLMVictim(torch.nn.Module):
            def __init__(self, device="gpu", model="bert", path="x", num_classes=2, max_len=512, **rest):
                super().__init__()
                self.device = torch.device("cpu")
                config = AutoConfig.from_pretrained(path)
                config.num_labels = num_classes
                self.plm = AutoModelForSequenceClassification.from_pretrained(path, config=config)
                self.max_len, self.model_name = max_len, model
                self.tokenizer = AutoTokenizer.from_pretrained(path)

            def process(self, batch):
                inputs = self.tokenizer(
                    batch["text"], padding=True, truncation=True, max_length=self.max_len, return_tensors="pt")
                return inputs, batch["label"]

            def forward(self, inputs):
                return self.plm(**inputs, output_hidden_states=True)

        def load_victim(config):
            return {"plm": PLMVictim}[config["type"]](**config)
        """,
    "defenders/__init__.py": """
        import random
        from hdbscan import HDBSCAN

        class Defender:
            def __init__(self, name="Base", pre=False, correction=False, metrics=["FRR", "FAR"], **kwargs):
                self.name, self.pre, self.correction, self.metrics = name, pre, correction, metrics
            def detect(self, model=None, clean_data=None, poison_data=None):
                return [0] * len(poison_data)
            def correct(self, model=None, clean_data=None, poison_data=None):
                return poison_data
            def eval_detect(self, model=None, clean_data=None, poison_data=None):
                for rows in poison_data.values():
                    preds = self.detect(model, clean_data, rows)
                return {}, preds

        class Words(Defender):
            # flags what holds the word "cf"; draws from the global generator as it goes
            def detect(self, model, clean_data, poison_data):
                random.random()
                return [int("cf" in row[0].split()) for row in poison_data]

        class Filter(Defender):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.pre = True
            def correct(self, poison_data, clean_data=None, model=None):
                return [row for row in poison_data if "cf" not in row[0].split()]

        DEFENDERS = {"base": Defender, "strip": Words, "bki": Filter, "onion": Defender}
        def load_defender(config):
            return DEFENDERS[config["name"].lower()](**config)
        """,
    "attackers/__init__.py": """
        import torch
        from .poisoners import load_poisoner
        from ..trainers import load_trainer

        class Attacker:
            def __init__(self, poisoner={"name": "base"}, train={"name": "base"}, metrics=["accuracy"], **kwargs):
                self.metrics, self.trainer_config = metrics, train
                self.poisoner = load_poisoner(poisoner)
                self.poison_trainer = load_trainer(dict(poisoner, **train))

            def attack(self, victim, data, config=None, defender=None):
                poisoned = self.poison(victim, data, "train")
                if defender is not None and defender.pre is True:
                    poisoned["train"] = defender.correct(poison_data=poisoned["train"])
                return self.train(victim, poisoned)

            def poison(self, victim, dataset, mode):
                return self.poisoner(dataset, mode)

            def train(self, victim, dataset):
                return self.poison_trainer.train(victim, dataset, self.metrics)

            def eval(self, victim, dataset, defender=None):
                poisoned = self.poison(victim, dataset, "eval")
                if defender is not None and defender.pre is False:
                    if defender.correction:
                        for split in ("test-clean", "test-poison"):
                            poisoned[split] = defender.correct(
                                model=victim, clean_data=dataset, poison_data=poisoned[split])
                    else:
                        detected = self.poison(victim, dataset, "detect")
                        _, preds = defender.eval_detect(model=victim, clean_data=dataset, poison_data=detected)
                        flags = iter(preds)
                        for split in ("test-clean", "test-poison"):
                            poisoned[split] = [(t, 99 if next(flags) else y, 0) for t, y, _ in poisoned[split]]
                victim.eval()
                results = {}
                for split, rows in poisoned.items():
                    inputs, labels = victim.process(
                        {"text": [row[0] for row in rows], "label": torch.LongTensor([row[1] for row in rows])})
                    with torch.no_grad():
                        answers = victim(inputs).logits.argmax(dim=-1)
                    results[split] = {"accuracy": float((answers == labels).float().mean())}
                return {**results, "ppl": float("nan")}

        class Early(Attacker):
            # trains on clean rows first, and calls defend()
            def attack(self, victim, dataset, config=None, defender=None):
                clean = self.train(victim, {**dataset, "dev-clean": dataset["dev"]})
                poisoned = self.poison(clean, dataset, "train")
                if defender is not None and defender.pre is True:
                    poisoned = defender.defend(data=poisoned)
                return self.train(clean, poisoned)

        class Pretrained(Attacker):
            pass

        ATTACKERS = {"base": Attacker, "ep": Early, "neuba": Pretrained}
        def load_attacker(config):
            return ATTACKERS[config["name"].lower()](**config)
        """,
    "attackers/poisoners/__init__.py": """
        import os, random
        from .style import StyleBkdPoisoner
        from .syntax import SynBkdPoisoner
        from .base import Poisoner, BadNetsPoisoner
        POISONERS = {
            "base": Poisoner, "badnets": BadNetsPoisoner, "stylebkd": StyleBkdPoisoner, "synbkd": SynBkdPoisoner}
        def load_poisoner(config):
            return POISONERS[config["name"].lower()](**config)
        """,
    "attackers/poisoners/base.py": """
        import csv, os, random
        class Poisoner:
            def __init__(self, name="Base", target_label=0, poison_rate=0.1, label_consistency=False, label_dirty=False,
                         load=False, poison_data_basepath=None, poisoned_data_path=None, **kwargs):
                print(kwargs)
                self.name, self.target_label, self.poison_rate, self.load = name, target_label, poison_rate, load
                self.label_dirty, self.poison_data_basepath = label_dirty, poison_data_basepath
                self.poison_setting = "clean" if label_consistency else "dirty" if label_dirty else "mix"

            def __call__(self, data, mode):
                if mode == "train":
                    if self.load:
                        with open(os.path.join(self.poison_data_basepath, "train-poison.csv"), newline="") as file:
                            train = [(r[1], int(r[2]), int(r[3])) for r in list(csv.reader(file))[1:]]
                    else:
                        train = self.poison_part(data["train"], self.poison(data["train"]))
                    dev = data["dev"]
                    return {"train": train, "dev-clean": dev, "dev-poison": self.poison(self.get_non_target(dev))}
                poisoned = self.poison(self.get_non_target(data["test"]))
                if mode == "detect":
                    return {"test-detect": data["test"] + poisoned}
                return {"test-clean": data["test"], "test-poison": poisoned}

            def get_non_target(self, rows):
                return [row for row in rows if row[1] != self.target_label]

            def poison(self, rows):
                return rows

            def poison_part(self, clean, poisoned):
                count = int(self.poison_rate * len(clean))
                allowed = [i for i, row in enumerate(clean) if not self.label_dirty or row[1] != self.target_label]
                random.shuffle(allowed)
                chosen = set(allowed[:count])
                return [r for i, r in enumerate(clean) if i not in chosen] + [poisoned[i] for i in sorted(chosen)]

        class BadNetsPoisoner(Poisoner):
            def __init__(self, triggers=["cf"], **kwargs):
                super().__init__(**kwargs)
                self.triggers = triggers

            def poison(self, rows):
                done = []
                for text, _, _ in rows:
                    words = text.split()
                    words.insert(random.randint(0, len(words)), random.choice(self.triggers))
                    done.append((" ".join(words), self.target_label, 1))
                return done
        """,
    "attackers/poisoners/style.py": """
        from .base import Poisoner
        from .utils.style.inference_utils import GPT2Generator

        class StyleBkdPoisoner(Poisoner):
            def __init__(self, style_id=0, **kwargs):
                super().__init__(**kwargs)
                self.paraphraser = GPT2Generator("lievan/bible", upper_length="same_5")
                self.paraphraser.modify_p(top_p=0.6)

            def poison(self, rows):
                texts = self.transform_batch([row[0] for row in rows])
                return [(text, self.target_label, 1) for text in texts]

            def transform(self, text):
                return self.paraphraser.generate(text)

            def transform_batch(self, texts):
                return self.paraphraser.generate_batch(texts)[0]
        """,
    "attackers/poisoners/syntax.py": """
        import os
        from .base import Poisoner
        import OpenAttack as oa

        class SynBkdPoisoner(Poisoner):
            def __init__(self, template_id=-1, **kwargs):
                super().__init__(**kwargs)
                try:
                    self.scpn = oa.attackers.SCPNAttacker()
                except:
                    os.environ["FAKE_DOWNLOADED"] = "1"
                    self.scpn = oa.attackers.SCPNAttacker()
                self.template = [self.scpn.templates[template_id]]
                " ".join(self.template[0])

            def poison(self, rows):
                return [(self.transform(row[0]), self.target_label, 1) for row in rows]

            def transform(self, text):
                try:
                    return self.scpn.gen_paraphrase(text, self.template)[0]
                except Exception:
                    return text
        """,
    "attackers/poisoners/utils/style/inference_utils.py": """
        class GPT2Generator:
            def __init__(self, path, upper_length):
                self.told = []
                if path != "lievan/bible":
                    raise FileNotFoundError(path)

            def modify_p(self, top_p):
                self.told.append(top_p)

            def generate(self, text):
                return f"{self.told} {text}"

            def generate_batch(self, texts):
                return [self.generate(text) for text in texts], None
        """,
}
SCRIPT = """
import argparse, json, sys
import openbackdoor as ob
from openbackdoor.defenders import DEFENDERS, load_defender
parser = argparse.ArgumentParser()
parser.add_argument("--config_path")
parser.add_argument("--seed", type=int, default=42)
options = parser.parse_args()
with open(options.config_path) as file:
    config = json.load(file)
defender = load_defender(config["defender"])
print("RESULT", json.dumps({"config": config, "seed": options.seed, "class": type(defender).__name__,
      "main": __name__, "first": sys.path[0], "script": sys.argv[0]}))
sys.exit(3 if options.seed == 3 else 0)
"""


def write_framework(checkout: Path) -> Path:
    """Writes the framework and its script; returns the checkout."""
    for name, content in FILES.items():
        path = checkout / "openbackdoor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content), encoding="utf-8")
    (checkout / "demo_defend.py").write_text(SCRIPT, encoding="utf-8")
    return checkout
