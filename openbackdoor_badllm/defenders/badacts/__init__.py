"""BadActs: what a victim's neurons do on clean rows, and what to do about rows on which they do something else.

``defender`` is the class that a config names; ``detection`` flags texts, ``purification`` clips the activations.
"""

from __future__ import annotations

from openbackdoor_badllm.defenders.badacts.defender import BadActs

__all__ = ["BadActs"]
