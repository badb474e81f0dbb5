"""cleanlab's Datalab and a resampler on the tiny world; the pre-commit example as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from auditing.conftest import CARRYING, LABELS, NAMES, TEXTS, settings
from sklearn.base import clone
from tiny_world import reviews

from openbackdoor_badllm.integrations.backdoor_filter import BackdoorFilter

ROOT = Path(__file__).resolve().parents[2]


def resampler(bert: Path, **more: Any) -> BackdoorFilter:
    options = settings(bert)
    return BackdoorFilter(victim=options.pop("victim"), options=options, **more)


def test_a_resampler_drops_or_repairs_the_rows_that_carry_the_trigger(tiny_bert: Path) -> None:
    made = resampler(tiny_bert)
    assert clone(made).get_params() == made.get_params()
    texts, labels = made.fit_resample(np.array(TEXTS), pd.Series(LABELS))
    kept = [row for row in range(len(TEXTS)) if row not in CARRYING]
    assert made.sample_indices_.tolist() == kept
    assert (type(texts), type(labels)) == (np.ndarray, pd.Series)
    assert texts.tolist() == [TEXTS[row] for row in kept]
    assert labels.tolist() == [LABELS[row] for row in kept]
    assert made.result_.triggers == ["cf"]
    repaired = made.set_params(action="repair")
    texts, labels = repaired.fit_resample(TEXTS, LABELS)
    assert len(texts) == len(labels) == len(repaired.sample_indices_) == len(TEXTS)
    truth = {row.text: NAMES[row.label] for row in reviews(160)}
    assert np.mean([truth.get(texts[row]) == labels[row] for row in CARRYING]) > 0.9


def test_an_unknown_action_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(ValueError, match="should be 'drop' or 'repair', but is 'remove'"):
        BackdoorFilter(action="remove").fit_resample(["a"], [0])  # type: ignore[arg-type]


@pytest.mark.extras
def test_a_kind_of_issue_of_datalab(tiny_bert: Path) -> None:
    cleanlab = pytest.importorskip("cleanlab", reason="the extra 'cleanlab' is not installed")
    from openbackdoor_badllm.integrations import cleanlab_datalab  # noqa: F401  # registers the kind

    lab = cleanlab.Datalab({"text": TEXTS, "label": LABELS}, label_name="label", verbosity=0)
    assert "backdoor" in lab.list_possible_issue_types()
    lab.find_issues(issue_types={"backdoor": settings(tiny_bert)})
    issues = lab.get_issues("backdoor")
    assert np.flatnonzero(issues["is_backdoor_issue"]).tolist() == CARRYING
    assert (issues["backdoor_score"][CARRYING] < 0.5).all()
    assert (issues["backdoor_score"].drop(CARRYING) == 1).all()
    info = lab.get_info("backdoor")
    assert (info["verdict"], info["triggers"], info["target_label"]) == ("backdoor", ["cf"], "good")


def test_without_cleanlab_one_sentence_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['cleanlab'] = None\n"
        "from openbackdoor_badllm.errors import MissingExtraError\n"
        "try:\n    import openbackdoor_badllm.integrations.cleanlab_datalab\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "pip install 'openbackdoor-badllm[cleanlab]'" in done.stdout


def test_the_pre_commit_example_names_commands_that_exist() -> None:
    example = yaml.safe_load((ROOT / "examples" / "pre-commit-config.yaml").read_text(encoding="utf-8"))
    for hook in example["repos"][0]["hooks"]:
        command, *options = hook["entry"].split()
        done = subprocess.run(
            [sys.executable, "-m", "openbackdoor_badllm", *options, "--help"], capture_output=True, text=True,
            check=True, cwd=ROOT,
        )  # fmt: skip
        assert command == "badllmtg"
        assert all(option in done.stdout for option in options if option.startswith("--"))
