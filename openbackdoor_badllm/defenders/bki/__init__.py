"""BKI: training rows that hold the words on which the victim's representation hangs most (``leave_one_out``)."""

from __future__ import annotations

from openbackdoor_badllm.defenders.bki.defender import BKI

__all__ = ["BKI"]
