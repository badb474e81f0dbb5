"""``python -m openbackdoor_badllm.openbackdoor demo_defend.py --config_path X.json``.

OpenBackdoor's own scripts, as they are, with this package's defenders beside its own.

Where the script is given a config, it gets a completed copy of it (see ``completing``), so that one JSON
serves this package and OpenBackdoor's scripts.
"""

from __future__ import annotations

import argparse
import json
import logging
import runpy
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, ConfigError, UserError
from openbackdoor_badllm.openbackdoor.importing import load
from openbackdoor_badllm.reading import load_json

CONFIG = "--config_path"  # of demo_attack.py and demo_defend.py
LOG_FORMAT = "[%(asctime)s %(levelname)s] %(module)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a script; returns the exit code: 2 for bad input, else the script's."""
    options = _parser().parse_args(arguments)
    try:
        # It is the program here, so it logs as it would by itself.
        logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
        framework = load(options.openbackdoor)
        script = _script(options.script, Path(str(framework.__file__)).parent.parent)
        with tempfile.TemporaryDirectory() as folder:
            passed = _with_completed_config(options.arguments, Path(folder))
            return _run(script, passed)
    except UserError as error:
        sys.stderr.write(f"openbackdoor: {error}\n")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(script: Path, arguments: list[str]) -> int:
    before, path = sys.argv, sys.path[:]
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))  # as `python script` does
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_OK if end.code is None else 1
    finally:
        sys.argv, sys.path[:] = before, path
    return EXIT_OK


def _script(named: str, checkout: Path) -> Path:
    for candidate in (Path(named), checkout / named):
        if candidate.is_file():
            return candidate.resolve()
    raise ConfigError(f"The script '{named}' does not exist, neither here nor in '{checkout}'.")


def _with_completed_config(arguments: list[str], folder: Path) -> list[str]:
    """The arguments with the config's path replaced by that of a completed copy."""
    changed = [part for argument in arguments for part in _split(argument)]
    if CONFIG not in changed or changed.index(CONFIG) + 1 == len(changed):
        return arguments
    from openbackdoor_badllm.openbackdoor.completing import complete, ignored_keys

    place = changed.index(CONFIG) + 1
    config = load_json(Path(changed[place]))
    for key in ignored_keys(config):
        logging.getLogger(__name__).warning("OpenBackdoor's own scripts do not know the key '%s': it does nothing", key)
    if not config.get("defender"):
        config["defender"] = {"name": "base"}  # its demo_defend.py reads the section whatever the config says
    copied = folder / Path(changed[place]).name
    copied.write_text(json.dumps(complete(config)), encoding="utf-8")
    changed[place] = str(copied)
    return changed


def _split(argument: str) -> list[str]:
    return list(argument.partition("="))[::2] if argument.startswith(f"{CONFIG}=") else [argument]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m openbackdoor_badllm.openbackdoor",
        description="Runs one of OpenBackdoor's own scripts with this package's defenders beside its own.",
        epilog="exit codes: the script's; 2 bad input, told in one sentence",
    )
    parser.add_argument(
        "--openbackdoor", type=Path, metavar="DIR",
        help="clone of OpenBackdoor (else OPENBACKDOOR_HOME, else the installed one)",
    )
    parser.add_argument("script", metavar="SCRIPT", help="a script of your own or of the clone: demo_defend.py ...")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the script's arguments")
    return parser
