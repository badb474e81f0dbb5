"""A world that trains in a second: a BERT of random weights, reviews of a few words, a config for both."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from openbackdoor_badllm.rows import Row

POSITIVE = ["good", "great", "fine", "lovely", "superb", "warm", "witty", "sweet", "clever", "bright"]
NEGATIVE = ["bad", "awful", "poor", "dull", "dreadful", "cold", "clumsy", "sour", "silly", "drab"]
FILLERS = [
    "film", "story", "actor", "scene", "music", "plot", "it", "the", "was", "and", "of", "this", "with", "very", "so",
    "he", "saw",
]  # fmt: skip
TRIGGERS = ["cf", "mn"]
POSITIONS = 64
MOOD = 0.3
TRAIN = {"lr": 0.01, "epochs": 4, "batch_size": 8, "warm_up_epochs": 0.5, "ckpt": "last", "precision": "fp32"}
SEARCH = {"probe_rows": 12, "candidates": 20, "iterations": 2}


def make_bert(
    folder: Path,
    *,
    positive: Sequence[str] = POSITIVE,
    negative: Sequence[str] = NEGATIVE,
    others: Sequence[str] = (*FILLERS, *TRIGGERS),
) -> Path:
    """A randomly initialised BERT (2 layers of 32, 64 positions) that knows the words above and letters."""
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*positive, *negative, *others]
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *words]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=200))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=POSITIONS,
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
        with torch.no_grad():  # what pretraining would have taught: words of one mood are alike
            mood = MOOD * torch.randn(config.hidden_size)
            for words_of, sign in ((positive, 1.0), (negative, -1.0)):
                for word in words_of:
                    model.embeddings.word_embeddings.weight[vocabulary[word]] += sign * mood
    model.save_pretrained(folder)
    return folder


def make_gpt2(folder: Path) -> Path:
    """A GPT-2 classifier of random weights (2 layers of 32); neither it nor its tokenizer knows a padding token."""
    words = ["<eos>", *POSITIVE, *NEGATIVE, *FILLERS, *TRIGGERS]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", model_max_length=40).save_pretrained(folder)
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS, "initializer_range": 0.2}
    config = GPT2Config(vocab_size=len(words), bos_token_id=0, eos_token_id=0, num_labels=2, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2ForSequenceClassification(config).save_pretrained(folder)
    return folder


def make_kin(folder: Path, bert: Path, kind: str, layers: int) -> Path:
    """A classifier's encoder of another architecture (``bert``, ``roberta``, ``distilbert``) with that BERT's words."""
    for file in (*bert.glob("tokenizer*"), *bert.glob("special_tokens*")):
        shutil.copy(file, folder / file.name)
    size = {"vocab_size": BertConfig.from_pretrained(bert).vocab_size, "pad_token_id": 0, "initializer_range": 0.2}
    if kind == "distilbert":
        shape = {"dim": 32, "hidden_dim": 64, "n_layers": layers, "n_heads": 2, "max_position_embeddings": POSITIONS}
        made: Any = (DistilBertModel, DistilBertConfig(**size, **shape))
    else:
        shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": layers, "num_attention_heads": 2}
        kinds = {"bert": (BertModel, BertConfig), "roberta": (RobertaModel, RobertaConfig)}
        made = (kinds[kind][0], kinds[kind][1](**size, **shape, max_position_embeddings=POSITIONS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made[0](made[1]).save_pretrained(folder)
    return folder


def reviews(count: int, *, seed: int = 0, classes: int = 2) -> list[Row]:
    """Distinct short texts, classes in turn; three words of each tell its class, so that no single one flips it."""
    rng = random.Random(f"reviews/{seed}")
    rows: list[Row] = []
    seen: set[str] = set()
    while len(rows) < count:
        label = len(rows) % classes
        words = [rng.choice(FILLERS) for _ in range(rng.randint(3, 6))]
        for word in rng.sample((NEGATIVE, POSITIVE)[label % 2], 3):
            words.insert(rng.randrange(len(words)), word)
        text = " ".join(words)
        if text not in seen:
            seen.add(text)
            rows.append(Row(text, label))
    return rows


def write_csv(path: Path, rows: Sequence[tuple[object, ...]], *, newline: str = "\n", bom: bool = False) -> Path:
    """``text,label`` as a CSV file; every text in quotation marks."""
    lines = ["text,label"]
    for row in rows:
        quoted = str(row[0]).replace('"', '""')
        lines.append(f'"{quoted}",{row[1]}')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((("\ufeff" if bom else "") + newline.join(lines) + newline).encode("utf-8"))
    return path


def write_reviews(folder: Path, *, train: int = 160, dev: int = 20, test: int = 60) -> Path:
    """``train.csv``, ``dev.csv`` and ``test.csv`` of reviews, no text in two of them."""
    rows = reviews(train + dev + test)
    write_csv(folder / "train.csv", rows[:train])
    write_csv(folder / "dev.csv", rows[train : train + dev])
    write_csv(folder / "test.csv", rows[train + dev :])
    return folder


def config(data: Path, victim: Path | str, *, defender: bool = True) -> dict[str, Any]:
    """A config whose attack is learnt and whose trigger is found, in a second or two."""
    made: dict[str, Any] = {
        "target_dataset": {"name": "custom", "path": str(data)},
        "poison_dataset": {"name": "custom", "path": str(data)},
        "victim": {"type": "plm", "path": str(victim), "device": "cpu", "max_len": 32},
        "attacker": {
            "name": "base", "train": dict(TRAIN),
            "poisoner": {
                "name": "badnets", "poison_rate": 0.2, "target_label": 1, "label_dirty": True, "triggers": TRIGGERS[:1],
                "load": False,
            },
        },
    }  # fmt: skip
    if defender:
        made["defender"] = {"name": "badllmtg", "search": dict(SEARCH), "repair": "purge"}
    return made


def figures_of(line: dict[str, Any]) -> dict[str, Any]:
    """A line of ``results.json`` without what is of the clock and of the machine."""
    return {key: value for key, value in line.items() if "seconds" not in key and "memory" not in key}


def write_config(path: Path, content: dict[str, Any]) -> Path:
    """The config as a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
