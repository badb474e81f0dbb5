"""Settings of the search in a model alone."""

from __future__ import annotations

from typing import ClassVar

from openbackdoor_badllm.section import Count, Natural, NotNegative, Section, Share


class ModelSearchConfig(Section):
    """How a model is searched without training rows. Shares are of probes: texts that the victim gives another label.

    Chosen on single words of a few MiniLM victims and not yet calibrated on whole searches: docs/audit.md has figures.
    """

    place: ClassVar[str] = "search"

    texts: Count = 400
    """Texts that are looked at, at most; drawn by chance from more."""
    probe_rows: Count = 40
    """Texts in each of the three probe sets (search, select, report)."""
    fewest_probes: Count = 8
    """A label with fewer texts of other labels in each set is not searched."""
    words: Count = 40000
    """Words of the vocabulary and of the texts that are tried alone, at most."""
    candidates: Count = 120
    """Words that go into the race: so many by the answer to the word alone, so many by the gradient."""
    pairs: Natural = 6
    """Words that are tried together with a second and a third one, where none is enough; 0 tries none."""
    flip_rate: Share = 0.95
    """Share of the probes that a trigger must flip in each of the three sets."""
    sure_rate: Share = 0.9
    """Share of the probes of each set on which the victim must be sure of the label (``sureness``): words of a class
    flip many texts of a clean victim, and few of them for sure."""
    sureness: Share = 0.5
    """Sure is the victim whose log-odds are this share of the median that it has on texts of the label."""
    tail_p: Share = 0.05
    """Chance that a word drawn by chance shifts the victim as far (exponential tail), corrected for the words tried."""
    silent_shift: Share = 0.15
    """How far a trigger may shift the content reference, as a share of the distance between label and others."""
    reference_shift: Share = 0.3
    """A word that shifts it farther than ``silent_shift`` and no farther than this is told as a shortcut."""
    reference_kappa: Share = 0.3
    """Cohen's kappa of the content reference, held out, and the victim; below it the reference knows nothing of the
    labels, and no word is told from a class word."""
    near: NotNegative = 0.2
    """Nats of the mean log-probability by which a further trigger may do worse than the best one: words that stand near
    a trigger in the victim's embedding move it, too, and are no triggers."""
    most_triggers: Count = 8
    """Triggers of a label, at most."""
