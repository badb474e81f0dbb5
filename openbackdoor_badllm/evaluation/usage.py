"""Peak memory of a part of a run."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Measures a block. ``host`` and ``gpu`` are MiB at the highest; ``gpu`` is None without a GPU.

    Linux forgets a process's high-water mark when asked to, so that each block has its own; elsewhere ``host`` is the
    highest since the program began.
    """

    def __init__(self) -> None:
        self.host = 0.0
        self.gpu: float | None = None

    def __enter__(self) -> PeakMemory:
        with contextlib.suppress(OSError):
            CLEAR.write_text("5", encoding="ascii")  # proc(5): resets VmHWM
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *_: object) -> None:
        self.host = _high_water()
        if torch.cuda.is_available():
            self.gpu = torch.cuda.max_memory_allocated() / 2**20


def _high_water() -> float:
    try:
        for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except (OSError, ValueError, IndexError):
        pass
    unit = 2**20 if sys.platform == "darwin" else 1024  # macOS counts bytes, the others KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
