"""Cells of a benchmark: one run folder each, named by the hash of the config that defines it."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbackdoor_badllm.benchmark.grid import OURS, REFERENCES, Grid
from openbackdoor_badllm.benchmark.task import FAILURE
from openbackdoor_badllm.config import VictimConfig
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.evaluation.experiment import resolve
from openbackdoor_badllm.evaluation.folder import RESULTS, config_hash, safe_name
from openbackdoor_badllm.openbackdoor.host import BUILTIN, Host, open_host
from openbackdoor_badllm.reading import load_json, one_of
from openbackdoor_badllm.section import read


@dataclass(frozen=True)
class Cell:
    """One run folder of a benchmark.

    Attributes:
        kind: ``references``, ``defender`` or ``whole``; see :mod:`openbackdoor_badllm.benchmark`.
        folder: relative to the output folder.
        config: as resolved, ready for an experiment.
        identity: what defines it, and what its ``config.json`` holds.
        lines: which lines it measures: ``undefended``, ``defended``, ``references``.
        references: folder of the cell with the references of its pair and seed.
    """

    kind: str
    folder: str
    dataset: str
    attack: str
    rate: float
    setting: str
    victim: str
    defender: str | None
    seed: int
    profile: str
    config: dict[str, Any] = field(repr=False)
    identity: dict[str, Any] = field(repr=False)
    lines: tuple[str, ...] = ()
    references: str | None = None

    @property
    def title(self) -> str:
        """For people."""
        what = self.defender or ("references" if self.kind == "references" else "none")
        return f"{self.dataset} {self.attack} {100 * self.rate:g}% {self.setting}: {what}, seed {self.seed}"

    @property
    def host(self) -> dict[str, str]:
        """The host that it runs on: ``name`` and ``revision``, the commit of the real OpenBackdoor."""
        return {"name": self.identity.get("host", BUILTIN), "revision": self.identity.get("host_revision", "")}

    def entry(self) -> dict[str, Any]:
        """Its entry in ``plan.json``."""
        keys = ("folder", "kind", "references", "dataset", "attack", "rate", "setting", "victim", "defender", "seed",
                "profile")  # fmt: skip
        return {**{key: getattr(self, key) for key in keys}, "host": self.host["name"]}

    def done(self, out: Path) -> bool:
        """Whether it came to its end."""
        return (out / self.folder / RESULTS).is_file()

    def failure(self, out: Path) -> str | None:
        """The sentence that says why it failed; None where it did not."""
        if self.done(out):
            return None
        try:
            told = json.loads((out / self.folder / FAILURE).read_text(encoding="utf-8"))
            return str(told["sentence"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def plan_grid(grid: Grid, *, data_root: Path | None = None, host: Host | None = None) -> list[Cell]:
    """All cells of a grid: seed by seed, the references of all pairs before their defenders.

    Args:
        grid: the grid.
        data_root: folder with ``datasets/`` and ``poison_data/``.
        host: whose names and keys count; the built-in one when None.

    Raises:
        ConfigError: a name or key is unknown, or a value does not fit.
        DataError: the poisoned texts of an attack are not there.
    """
    host = host or open_host()
    for label in grid.defenders:
        one_of("defenders", grid.defender(label)["name"], [*REFERENCES, *host.defenders])
    # Baselines alone are compared with nothing; but which is meant must be said where there are several of ours.
    meant = grid.ours != OURS or any(grid.defender(label)["name"] == OURS for label in grid.defenders)
    if meant and grid.ours not in grid.defenders and len(set(grid.defenders) - set(REFERENCES)) > 1:
        one_of("ours", grid.ours, [label for label in grid.defenders if label not in REFERENCES])
    cells = [cell for seed in grid.seeds for cell in _of_seed(grid, seed, data_root, host)]
    _check(cells, host)
    return cells


def plan_configs(
    configs: Sequence[Path],
    seeds: Sequence[int],
    *,
    profile: str,
    overrides: Sequence[str] = (),
    data_root: Path | None = None,
    host: Host | None = None,
) -> list[Cell]:
    """A cell for each JSON config and seed, with all lines of a run.

    Raises:
        ConfigError: a config is missing or wrong.
        DataError: the poisoned texts of an attack are not there.
    """
    host = host or open_host()
    cells = []
    for seed, path in itertools.product(seeds, configs):
        config = resolve(load_json(path), profile=profile, overrides=overrides, data_root=data_root, seed=seed)
        identity = {**config, "references": True, **host.identity}
        folder = f"{path.stem}-{profile}-seed{seed}-{config_hash(identity)}"
        derived = host.set_config(copy.deepcopy(config))["attacker"]["poisoner"]
        defender = (config.get("defender") or {}).get("name")
        cells.append(
            Cell(
                "whole",
                folder,
                dataset=str(config["poison_dataset"]["name"]),
                attack=str(derived["name"]),
                rate=derived["poison_rate"],
                setting=derived["poison_setting"],
                victim=_short_path(config["victim"].get("path", "auto")),
                defender=defender,
                seed=seed,
                profile=profile,
                config=config,
                identity=identity,
                lines=("undefended", *(["defended"] if defender else []), "references"),
            )
        )
    _check(cells, host)
    return cells


def _of_seed(grid: Grid, seed: int, data_root: Path | None, host: Host) -> Iterator[Cell]:
    pairs = list(itertools.product(grid.victims, grid.settings, grid.rates, grid.datasets, grid.attacks))
    references: dict[Any, Cell] = {}
    for pair in pairs:
        lines = ("undefended", *(["references"] if grid.references else []))
        references[pair] = _cell(grid, pair, seed, data_root, host, None, lines)
        yield references[pair]
    # Pair by pair, so that whole lines of the table fill up one after the other.
    for pair in pairs:
        for label in grid.defenders:
            if label not in REFERENCES:
                yield _cell(grid, pair, seed, data_root, host, label, ("defended",), references[pair].folder)


def _cell(
    grid: Grid,
    pair: tuple[str, str, float, str, str],
    seed: int,
    data_root: Path | None,
    host: Host,
    defender: str | None,
    lines: tuple[str, ...],
    references: str | None = None,
) -> Cell:
    victim, setting, rate, dataset, attack = pair
    base = grid.base_config(dataset, attack, rate, setting)
    if defender is not None:
        base["defender"] = copy.deepcopy(grid.defender(defender))
    written = [f"victim.{key}={json.dumps(value)}" for key, value in grid.victim(victim).items()]
    written += [f"{path}={json.dumps(value)}" for path, value in _flat(grid.overrides)]
    config = resolve(base, profile=grid.profile, overrides=written, data_root=data_root, seed=seed)
    identity = {**without_root(config), "lines": list(lines), **host.identity}
    name = config["defender"]["name"] if defender is not None else "references"
    poisoner = config["attacker"]["poisoner"]
    words = (config["poison_dataset"]["name"], poisoner["name"], f"{setting}{100 * rate:g}", name, f"s{seed}")
    return Cell(
        "references" if defender is None else "defender",
        "cells/" + "_".join([*(safe_name(str(word)) for word in words), cell_hash(identity)]),
        dataset=dataset,
        attack=attack,
        rate=rate,
        setting=setting,
        victim=victim,
        defender=defender,
        seed=seed,
        profile=grid.profile,
        config=config,
        identity=identity,
        lines=lines,
        references=references,
    )


def host_of(cells: Sequence[Cell]) -> dict[str, str]:
    """The host of a benchmark, which all its cells run on; see :attr:`Cell.host`."""
    return cells[0].host if cells else {"name": BUILTIN, "revision": ""}


def cell_hash(identity: Mapping[str, Any]) -> str:
    """Twelve hex digits that name what defines a cell."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:12]


def without_root(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without the folder of the data, which is another one on the next machine."""
    plain = copy.deepcopy(dict(config))
    for section in (plain["target_dataset"], plain["poison_dataset"], plain["attacker"]["poisoner"]):
        section.pop("data_root", None)
    return plain


def _check(cells: Sequence[Cell], host: Host) -> None:
    """Refuses what cannot run on a host, before anything does. Each section that cells share is looked at once."""
    looks = {**_LOOKS, "attacker": host.load_attacker, "defender": host.load_defender}
    seen: set[str] = set()
    folders: dict[str, Cell] = {}
    for cell in cells:
        other = folders.setdefault(cell.folder, cell)
        if other is not cell:
            raise ConfigError(
                f"Two cells of the grid are the same run ('{other.title}' and '{cell.title}'): drop one of the names."
            )
        config = host.set_config(copy.deepcopy(cell.config))
        for key, look in looks.items():
            section = config.get(key)
            if not section:
                continue
            mark = f"{key}:{json.dumps(section, sort_keys=True, default=str)}"
            if mark not in seen:
                seen.add(mark)
                try:
                    look(section)
                except (ConfigError, DataError) as error:
                    raise type(error)(f"In '{cell.title}': {error}") from None


_LOOKS: dict[str, Callable[[Any], Any]] = {
    "target_dataset": DatasetConfig.from_keys,
    "poison_dataset": DatasetConfig.from_keys,
    "victim": lambda section: read(VictimConfig, section, "victim"),
}


def _flat(sections: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in sections.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _short_path(path: object) -> str:
    return str(path).rstrip("/").rpartition("/")[2]
