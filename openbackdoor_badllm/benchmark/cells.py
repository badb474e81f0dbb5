"""Plans the cells of a benchmark: one run folder each, named by the hash of the config that defines it."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openbackdoor_badllm.benchmark.cell import Cell
from openbackdoor_badllm.benchmark.grid import OURS, Grid
from openbackdoor_badllm.benchmark.records import REFERENCES
from openbackdoor_badllm.config import VictimConfig
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.evaluation.experiment import resolve
from openbackdoor_badllm.evaluation.folder import config_hash, safe_name
from openbackdoor_badllm.openbackdoor.host import Host, open_host
from openbackdoor_badllm.reading import load_json, one_of
from openbackdoor_badllm.section import read


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
    planner = _Planner(grid, data_root, host)
    cells = [cell for seed in grid.seeds for cell in planner.of_seed(seed)]
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
                victim=str(config["victim"].get("path", "auto")).rstrip("/").rpartition("/")[2],
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


@dataclass(frozen=True)
class _Planner:
    """Makes the cells of a grid."""

    grid: Grid
    data_root: Path | None
    host: Host

    def of_seed(self, seed: int) -> Iterator[Cell]:
        """The references of all pairs, then their defenders."""
        grid = self.grid
        pairs = list(itertools.product(grid.victims, grid.settings, grid.rates, grid.datasets, grid.attacks))
        references: dict[Any, Cell] = {}
        for pair in pairs:
            references[pair] = self.cell(pair, seed)
            yield references[pair]
        # Pair by pair, so that whole lines of the table fill up one after the other.
        for pair in pairs:
            for label in grid.defenders:
                if label not in REFERENCES:
                    yield self.cell(pair, seed, label, references[pair].folder)

    def cell(
        self, pair: tuple[str, str, float, str, str], seed: int, defender: str | None = None, beside: str | None = None
    ) -> Cell:
        """The cell of a defender, whose references are ``beside`` it; without a defender that of the references."""
        grid, (victim, setting, rate, dataset, attack) = self.grid, pair
        base = grid.base_config(dataset, attack, rate, setting)
        lines = ("defended",) if defender else ("undefended", *(["references"] if grid.references else []))
        if defender is not None:
            base["defender"] = copy.deepcopy(grid.defender(defender))
        written = [f"victim.{key}={json.dumps(value)}" for key, value in grid.victim(victim).items()]
        written += [f"{path}={json.dumps(value)}" for path, value in _flat(grid.overrides)]
        config = resolve(base, profile=grid.profile, overrides=written, data_root=self.data_root, seed=seed)
        identity = {**_without_root(config), "lines": list(lines), **self.host.identity}
        name = config["defender"]["name"] if defender is not None else "references"
        poisoner = config["attacker"]["poisoner"]
        words = (config["poison_dataset"]["name"], poisoner["name"], f"{setting}{100 * rate:g}", name, f"s{seed}")
        return Cell(
            "references" if defender is None else "defender",
            "cells/" + "_".join([*(safe_name(str(word)) for word in words), config_hash(identity, 12)]),
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
            references=beside,
        )


def _without_root(config: Mapping[str, Any]) -> dict[str, Any]:
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
