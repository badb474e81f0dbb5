"""The sections of a config: each key once, documented, with the bounds that it has always had."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from openbackdoor_badllm.attacks.poisoner import PoisonerConfig
from openbackdoor_badllm.benchmark.grid import Grid, SharedBudget
from openbackdoor_badllm.config import AttackerConfig, BadLLMTGConfig, TrainConfig, VictimConfig, train_spec
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.defenders import DEFENDERS, load_defender
from openbackdoor_badllm.defenders.badacts.defender import BadActsConfig
from openbackdoor_badllm.defenders.bki.defender import BkiConfig
from openbackdoor_badllm.defenders.cube import CubeConfig
from openbackdoor_badllm.defenders.musclelora.defender import MuScleLoRAConfig
from openbackdoor_badllm.defenders.onion.defender import OnionConfig
from openbackdoor_badllm.defenders.oracle import ReferenceConfig
from openbackdoor_badllm.defenders.rap import RapConfig
from openbackdoor_badllm.defenders.strip import StripConfig
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.refusal import expected
from openbackdoor_badllm.section import Section, read
from openbackdoor_badllm.settings import SearchConfig, Thresholds
from openbackdoor_badllm.training.spec import TrainSpec

ROOT = Path(__file__).parents[1]
NAN, INF = float("nan"), float("inf")
CLEAN_ROWS: dict[str, list[Any]] = {"pre": [True, "no"], "clean_rows": [19, True], "seed": [-1, 2**32, "x"]}
OWN_MODEL: dict[str, list[Any]] = {
    "pre": [False], "epochs": [0, 1.5], "lr": [0, NAN], "batch_size": [0], "warm_up_epochs": [-1], "num_classes": [1],
}  # fmt: skip

WRONG: dict[type[Section], dict[str, list[Any]]] = {
    DatasetConfig: {
        "name": ["", 3], "load": ["true"], "test": [1], "drop_empty": ["no"], "dev_rate": [1, -0.1, NAN, True],
        "test_rate": ["0.2"], "max_train": [0], "max_dev": [True], "max_test": [2.5], "num_classes": [1],
        "seed": ["7"], "split_seed": [0.5], "data_root": [3], "path": [""], "train_file": ["a\0b"],
        "clean_data_basepath": [["x"]], "text_column": [""], "hub_config": [1],
        "label_names": ["ab", ["a", 1], ["a"], ["a", "a"]],
    },
    VictimConfig: {
        "type": ["mlm"], "device": ["tpu"], "max_len": [3, "long"], "num_classes": [1, True], "path": [None],
    },
    AttackerConfig: {
        "name": ["ep"], "metrics": [["f1"], 5], "sample_metrics": [["ppl"]], "poisoner": ["badnets"], "train": [5],
    },
    TrainConfig: {
        "name": ["lws"], "ckpt": ["first"], "loss_function": ["mse"], "precision": ["fp16"], "epochs": [0, 2.5],
        "batch_size": [0, -1], "gradient_accumulation_steps": [0], "warm_up_epochs": [-1, NAN],
        "lr": [0, NAN, INF], "max_grad_norm": [-1, INF], "weight_decay": [-1], "seed": [-1], "visualize": [True],
    },
    PoisonerConfig: {
        "name": ["badnet"], "triggers": [5], "poison_rate": [-0.1, 20], "num_triggers": [0], "target_label": [-1],
        "paraphraser": ["gpt"],
    },
    BadLLMTGConfig: {
        "pre": [False], "correction": [True], "target": ["papers"], "repair": ["relable"], "max_labels": [0],
        "max_backdoors": [0], "fine_tune_epochs": [0], "stamp_share": [1.5], "target_label": [-1], "from_scratch": [1],
        "seed": ["x", -1], "llm": ["x"], "search": [1], "train": [[]], "thresholds": [0.5],
    },
    SearchConfig: {
        "strategy": ["pol"], "probe_rows": [0], "candidates": [0], "min_rows": [0], "refine": [1], "style": ["no"],
        "skip_tests": ["chance", ["weak"], [1]],
    },
    Thresholds: {
        "flip_rate": [1.1, "high"], "reference_shift": [-0.1], "joint_p": [NAN], "tail_p": [True],
    },
    LLMConfig: {
        "backend": ["gpt"], "temperature": ["hot", 3, NAN, True], "top_p": [0, 1.1], "max_tokens": [1.5, True, 0],
        "concurrency": [0], "retry_wait": [-1], "replay": [[1]], "extra_body": [3], "timeout": [0, INF],
        "deadline": [0], "max_attempts": [0], "max_calls": [0], "max_money": [0], "price_prompt": [-1],
        "dtype": ["int8"], "json_mode": ["xml"], "batch_size": [0], "max_failures": [0], "max_tokens_total": [0],
    },
    OnionConfig: {
        **CLEAN_ROWS, "max_drop": [2.0], "frr": [-1], "language_model": [" "], "threshold": ["low"], "max_len": [7],
    },
    StripConfig: {
        **CLEAN_ROWS, "repeat": [0], "swap_ratio": [2.0], "use_oppsite_set": [True], "correction": [True], "frr": [2],
    },
    RapConfig: {
        **CLEAN_ROWS, "triggers": [[], ["a", "b"], [" "]], "prob_range": [[0.1]], "lr": [0], "frr": [-1],
        "correction": [True], "epochs": [0], "batch_size": [0], "target_label": [-1],
    },
    BkiConfig: {**OWN_MODEL, "top": [0], "max_keywords": [0], "min_ratio": [2.0]},
    CubeConfig: {
        **OWN_MODEL, "reduction": ["tsne"], "noise": ["keep"], "min_cluster_size": [1], "n_components": [1],
        "n_neighbors": [1], "min_samples": [0], "cluster_selection_epsilon": [-1], "max_drop": [1.1],
    },
    BadActsConfig: {
        "mode": ["detect"], "frr": [1.0, -0.1], "delta": [0], "c": [NAN], "a": [0], "lr": [0], "keep_accuracy": [98],
        "accept_accuracy": [-1], "epochs": [0, "ten"], "batch_size": [0], "max_retries": [-1], "clean_rows": [4],
        "seed": [-1], "pre": [True], "correction": [True],
    },
    MuScleLoRAConfig: {
        "lr": [0], "r": [0], "ga_epoch": [-1], "max_raw_grad_ratio": [1.5], "bands": [[], 4, [0]], "ckpt": ["first"],
        "pre": [True], "correction": [True], "clean_rows": [0], "ref_sample": [0], "inner_rank": [0],
        "lora_alpha": [0], "lora_dropout": [1.0], "mslr_alpha": [0], "min_ref_loss": [-1], "min_ref_grad_norm": [-1],
        "weight_decay": [-1], "warm_up_epochs": [-1], "max_grad_norm": [0], "precision": ["fp16"], "seed": [-1],
        "epochs": [0], "batch_size": [0],
    },
    ReferenceConfig: {"pre": [False]},
    Grid: {
        "settings": [["filthy"], []], "rates": [[20], [], 0.2], "seeds": [[1, 1], [-1], []], "overrides": [[1]],
        "datasets": [{}], "attacks": [{}], "victims": [{}],
    },
    SharedBudget: {"max_calls": [-1, 1.5], "max_tokens_total": [-1], "max_money": [-1]},
}  # fmt: skip
NEEDED: dict[type[Section], dict[str, Any]] = {
    Grid: {"datasets": {"demo": {}}, "attacks": {"badnets": {}}, "defenders": {}},
}


def sections() -> list[type[Section]]:
    return [part.cls for part in reference().PARTS]


def reference() -> ModuleType:
    """``scripts/make_reference.py``, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "scripts" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("cls", WRONG, ids=lambda cls: cls.__name__)
def test_wrong_values_are_refused_in_one_sentence_that_names_the_key(cls: type[Section]) -> None:
    for key, value in ((key, value) for key, values in WRONG[cls].items() for value in values):
        with pytest.raises(ConfigError) as caught:
            pytest.fail(f"{key}={value!r} was taken as {read(cls, {**NEEDED.get(cls, {}), key: value}, 'top')!r}")
        assert re.fullmatch(rf"'top\.{key}[^\n]*[.?]", str(caught.value))


@pytest.mark.parametrize("cls", WRONG, ids=lambda cls: cls.__name__)
def test_a_section(cls: type[Section]) -> None:
    assert cls in sections()  # and so on the reference page
    needed = NEEDED.get(cls, {})
    made = read(cls, needed, "top")
    assert made == cls(**needed) == read(cls, made.model_dump(), "top")  # the defaults keep their own bounds
    for key, field in cls.model_fields.items():
        assert field.description, key
        assert expected(field)
    first = next(iter(cls.model_fields))
    with pytest.raises(ConfigError, match=rf"^'top' has no key '{first}_': did you mean '{first}'\?$"):
        read(cls, {**needed, f"{first}_": 1}, "top")


def test_every_section_has_its_wrong_values() -> None:
    assert set(sections()) == set(WRONG)


@pytest.mark.parametrize("name", ["configuration.md", "commands.md"])
def test_a_reference_page_is_up_to_date(name: str) -> None:
    """Else: python scripts/make_reference.py."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == reference().pages()[name]


@pytest.mark.parametrize("name", DEFENDERS)
def test_a_defender_refuses_a_misspelt_key(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^'defender' has no key 'sead': did you mean 'seed'\?$"):
        load_defender({"name": name, "sead": 1})


@pytest.mark.parametrize(
    ("cls", "values", "sentence"),
    [
        (BadLLMTGConfig, {"search": {"strategy": "paper"}}, r"is 'paper', which needs a language model: set 'top\.llm"),
        (BadLLMTGConfig, {"search": {"probe_row": 3}}, r"'top\.search' has no key .* 'probe_rows'"),
        (BadLLMTGConfig, {"train": {"epoch": 3}}, r"'top\.train' has no key .* 'epochs'"),
        (BadLLMTGConfig, {"llm": {"backend": "gpt"}}, r"'top\.llm\.backend' must be 'openai', "),
        (DatasetConfig, {"label_names": ["a", "b"], "num_classes": 3}, "disagree, 3 against 2 names"),
        (DatasetConfig, {"name": "custom"}, "'custom' expects the key path"),
        (DatasetConfig, {"name": "a/b", "path": "x"}, "'a/b' is a hub name, but path is set too"),
        (PoisonerConfig, {"label_consistency": True, "label_dirty": True}, "are both true"),
        (LLMConfig, {"backend": "openai", "model": " "}, "'top.model' is missing"),
        (LLMConfig, {"backend": "replay"}, "'top.replay' is missing"),
        (LLMConfig, {"max_money": 1.0}, "price is unknown"),
        (LLMConfig, {"max_money": 1.0, "price_prompt": 1.0}, "price is unknown"),
        (LLMConfig, {"max_calls": None}, "'top' needs a bound"),
    ],
)
def test_keys_that_do_not_fit_together(cls: type[Section], values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read(cls, values, "top")


def test_train_spec() -> None:
    victim = VictimConfig(path="auto", max_len=77, device="cuda")
    train = TrainConfig(lr=1e-4, weight_decay=0.1, epochs=3, batch_size=5, gradient_accumulation_steps=2,
                        max_grad_norm=0.5, warm_up_epochs=1, ckpt="last", precision="fp32")  # fmt: skip
    spec = train_spec(victim, train, num_labels=4, seed=9, path="minilm")
    assert spec == TrainSpec(
        path="minilm", num_labels=4, max_len=77, lr=1e-4, weight_decay=0.1, epochs=3, batch_size=5, warm_up_epochs=1,
        gradient_accumulation_steps=2, max_grad_norm=0.5, ckpt="last", device="gpu", precision="fp32", seed=9,
    )  # fmt: skip
    own = train.replace(seed=0)
    assert train_spec(victim, own, num_labels=2, seed=9, path="x").seed == 0
    assert train_spec(VictimConfig(device="cpu"), own, num_labels=2, seed=9, path="x").device == "cpu"


def test_what_names_a_training_stays_as_it_is() -> None:
    """The store's key is a hash of this text; where it changes, every trained model is trained again."""
    spec = train_spec(VictimConfig(), TrainConfig(), num_labels=2, seed=1, path="x")
    assert json.dumps(spec.model_dump(), sort_keys=True) == (
        '{"batch_size": 32, "ckpt": "best", "device": "gpu", "epochs": 10, '
        '"gradient_accumulation_steps": 1, "lr": 2e-05, "max_grad_norm": 1.0, "max_len": 512, "num_labels": 2, '
        '"path": "x", "precision": "auto", "seed": 1, "warm_up_epochs": 3, "weight_decay": 0.0}'
    )
    changed = json.loads(json.dumps(spec.replace(epochs=4, lr=0.5).model_dump()))
    assert changed == {**spec.model_dump(), "epochs": 4, "lr": 0.5}
    assert type(changed["warm_up_epochs"]) is int


def test_the_shipped_configs_name_known_keys_of_the_defender() -> None:
    folder = ROOT / "configs"
    seen = 0
    for path in sorted(folder.glob("*badllmtg*.json")):
        section = json.loads(path.read_text(encoding="utf-8")).get("defender")
        if section:
            assert read(BadLLMTGConfig, section, "defender").name == "badllmtg"
            seen += 1
    if folder.is_dir():
        assert seen
