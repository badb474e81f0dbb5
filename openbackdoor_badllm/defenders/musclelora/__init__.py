"""MuScleLoRA: training through low-rank adapters (``adapters``) with aligned gradients (``alignment``)."""

from __future__ import annotations

from openbackdoor_badllm.defenders.musclelora.defender import MuScleLoRA

__all__ = ["MuScleLoRA"]
