"""Settings of the method: keys of the config's ``defender``, with every bound of a decision in one place."""

from __future__ import annotations

from typing import ClassVar, Literal

from openbackdoor_badllm.section import Count, Natural, Section, Seed, Share


class Thresholds(Section):
    """Section ``defender.thresholds``: every bound by which the method decides.

    Calibrated on (MiniLM, 1,600 rows, seed 42): SST-2 with badnets, addsent, stylebkd, synbkd, two further styles
    (Shakespeare, lyrics) and clean; HSOL with stylebkd, synbkd and clean; Yelp with badnets and stylebkd; OLID with
    word substitution and a syntax; hate-speech with the Bible's and Shakespeare's style; clean AG News; of 1,200 rows
    of SST-2, HSOL and AG News, words, names, signs and sentences at 1 to 20 %, two words together, words that act only
    together, three kinds mixed, clean labels, wrong labels, a rare label, the mark of a source; and the group
    ``calibration`` of ``benchmarks/held_out/sets.yaml``. docs/results.md lists how they end. Not calibrated by these:
    the flip rates and shares of stage (b), which were chosen for 0.1.0 on twelve pairs of SST-2, HSOL and AG News,
    ``weak_agreement``, ``repaired_flip_rate`` and ``planted_flip_rate``. No bound was chosen on the group
    ``evaluation``.
    """

    flip_rate: Share = 0.85
    """Stage (b). Share of the select probes that an inserted trigger must flip to the target label."""
    sibling_flip_rate: Share = 0.5
    """The same beside an accepted trigger, where the rows that carry the trigger contradict their label: of several
    triggers, those in few rows are learnt less well."""
    weak_agreement: Share = 0.8
    """A victim that gives a smaller share of all rows their label is weak: much flips it. Then nothing lowers the flip
    rate of a further trigger, and only triggers whose rows contradict their label are accepted. Not calibrated."""
    min_share: Share = 0.005
    """An inserted trigger in a smaller share of all rows is turned down."""
    reference_shift: Share = 0.3
    """How far a trigger may shift the content reference fitted without its rows, as a share of the distance between
    the rows of the label and the others; a class word (an insult, a word of praise) shifts it farther."""
    foreign_shift: Share = 0.45
    """The same for a sentence (four words or more), which has a meaning of its own, and for a trigger whose rows
    contradict their label as rows of other labels would."""
    like_others: Share = 0.9
    """Rows contradict their label as rows of other labels would from this share of their rate on."""
    reference_excess: Share = 0.35
    """How much more often a rewriting trigger must flip the victim than the content reference."""
    shortcut_rows: Share = 0.5
    """A trigger in a larger share of the rows of the label, whose texts fit it, is told as a shortcut (the mark of a
    source) and not as a backdoor: nobody poisons most rows of a label."""
    joint_p: Share = 0.001
    """Chance that the rows of an ordinary n-gram, without it, contradict their label as often (one-sided binomial test)
    and that it shifts the victim as far (``tail_p``), by Fisher's method; corrected for the number of candidates."""
    sibling_p: Share = 0.01
    """The same beside an accepted trigger: where there is one, a second is likelier."""
    tail_p: Share = 0.001
    """Chance that an ordinary n-gram of the label shifts the victim as far, from an exponential tail fitted to the
    candidates that lost; corrected for their number. Decides where the rows do not contradict their label."""
    certain_flip_rate: Share = 0.95
    """Where its rows do not contradict their label, the share of probes that a trigger must flip in each probe set."""
    silent_shift: Share = 0.15
    """Such a trigger is accepted if it shifts the content reference by no more than this, or is a sentence, and stands
    alone (``silent_rival``), or if ``tail_p`` says so."""
    silent_rival: Share = 0.5
    """Nothing else may flip more of the probes: where the class words flip as many, the reference may not know them."""
    sibling_contradicted: Share = 0.5
    """Share of the rows of such a trigger, and of one in few rows, that must contradict their label."""
    sibling_rows: Share = 0.25
    """A trigger in a smaller share of the rows of the largest one is kept only if its rows contradict their label."""
    style_beside: Share = 0.1
    """A style is looked for in the rows without the inserted triggers; where these are in a smaller share of the rows
    of the label, in all rows, as they may be marks of the style ("thou")."""
    style_mark: Share = 0.6
    """An inserted trigger of which this share of the rows has the accepted style is such a mark, and no trigger, unless
    it stands in this share of the rows of the style: then it is what these rows have in common."""
    style_rows: Share = 0.03
    """A shared style in a smaller share of the rows of its label is not tested."""
    style_elsewhere: Share = 0.025
    """Share of the rows of other labels that may be written like the more typical half of a style's rows; more is how
    people write."""
    style_contradicted: Share = 0.33
    """Share of the rows of a style that must contradict their label, to a content reference fitted without them."""
    style_falls: Share = 0.72
    """After the victim has unlearnt half of a style's rows: chance that a contradicted row of the other half falls more
    than a contradicted row without the style (AUROC; 0.5 where the style is no mechanism)."""
    style_p: Share = 0.01
    """One-sided rank test (Mann-Whitney) of that chance; corrected for the number of labels."""
    style_beside_p: Share = 0.001
    """The same beside inserted triggers, which explain the rows already."""
    repaired_flip_rate: Share = 0.2
    """Stage (c). A repair in place ends when no inserted trigger flips more of the report probes than this share."""
    planted_flip_rate: Share = 0.2
    """By how much more a pattern that the repaired rows share may move texts to their fresh label than before."""
    repaired_loss: Share = 0.05
    """Share of the untouched rows that a repair in place may cost: where the repaired model gives fewer of them their
    label, a fresh model is trained on the repaired rows instead."""
    rewrite_flip_rate: Share = 0.7
    """Share of rewritten select probes that must get the target label."""
    rewrite_margin: Share = 0.25
    """How much more a rewriting trigger must flip than a plain paraphrase."""


class SearchConfig(Section):
    """Section ``defender.search``: how triggers are looked for."""

    probe_rows: Count = 40
    """Rows of other labels in each of the three probe sets (search, select, report)."""
    candidates: Count = 80
    """Mined candidates of each kind (words, longer n-grams, openings) and round."""
    min_rows: Count = 4
    """A pattern in fewer rows of the target label is no candidate."""
    max_triggers: Count = 12
    """Stop after so many triggers of a label."""
    iterations: Count = 16
    """Rounds of proposals at most."""
    style: bool = True
    """Look for rows that share a style or a syntax."""
    strategy: Literal["pool", "paper", "random"] = "pool"
    """How candidates are come by: ``pool`` (mined ones, then many an LLM call about all labels), ``paper`` (one
    prompt, one trajectory, an LLM alone), ``random`` (random words alone; the control)."""
    candidates_per_call: Count = 16
    """Candidates that an LLM is asked for in one call."""
    label_rows: Natural = 40
    """Rows of each label that an LLM labels from their content before the search, where the class names are words; the
    label that it contradicts most comes first. 0: none."""
    patience: Count = 4
    """Questions without an accepted trigger after which an LLM is given up; one is enough where something was found."""
    refine: bool = True
    """False: one round only, no second guess (an ablation of the paper)."""
    feedback: bool = True
    """False: an LLM is not told what the victim made of its proposals (an ablation of the paper)."""
    rewrites: bool = True
    """Whether an LLM may propose rewriting triggers (style, syntax), which cost calls to be tried."""
    rewrites_per_round: Count = 2
    """Rewriting triggers tried in a round at most."""
    rewrite_probes: Count = 16
    """Texts in each of the three probe sets of a rewriting trigger."""
    rewrite_copies: Count = 64
    """Rewritten copies of rows of other labels that a repair adds with their own label."""
    skip_tests: tuple[
        Literal["weak-in-select", "few-rows", "content", "shortcut", "sibling", "chance", "echo"], ...
    ] = ()
    """Acceptance tests that are switched off (an ablation)."""


class AuditConfig(Section):
    """How an audit is made. Its fields are keys of the config's ``defender``."""

    place: ClassVar[str] = "defender"

    target: Literal["robust", "paper", "none"] = "robust"
    """Stage (a): ``robust``, ``paper`` (Eq. 4 to the letter; only the label that it names is searched), or ``none``: no
    suspicion of any row, the labels are searched in their order (an ablation of the paper)."""
    target_label: Natural | None = None
    """Skip stage (a) and search this label alone."""
    max_labels: Count = 20
    """Labels searched at most, most suspicious first."""
    max_backdoors: Count = 3
    """Backdoors reported at most, each with another target label."""
    search: SearchConfig = SearchConfig()
    """Stage (b)."""
    thresholds: Thresholds = Thresholds()
    """Every bound of a decision."""
    repair: Literal["relabel", "purge", "stamp-non-target", "paper", "none"] = "relabel"
    """Stage (c): ``relabel``, ``purge``, ``stamp-non-target``, ``paper`` (Eq. 9) or ``none``."""
    stamp_share: Share = 0.1
    """Share of the unflagged rows that ``relabel`` and ``purge`` add with the trigger and their own label."""
    fine_tune_epochs: Count = 4
    """Passes at most through the rows of the fine-tuning when a trained victim is repaired in place."""
    seed: Seed = 42
    """Seed of everything that is drawn; no global generator is touched."""
