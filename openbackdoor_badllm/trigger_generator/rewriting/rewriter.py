"""Rewrites by an LLM: many texts a call, none of them believed before it is checked.

A batch with the wrong number of rewrites is no use as a whole, because nobody can say which belongs to which row. A
single bad rewrite costs only itself. What failed is asked once more, one row a call, as long as the allowance lasts.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from openbackdoor_badllm.llm import Budget, ChatBackend, ChatRequest, MalformedJSONError, Ok, extract_object
from openbackdoor_badllm.trigger_generator.hypotheses import normal_form
from openbackdoor_badllm.trigger_generator.prompting import REWRITES_SCHEMA, is_hidden, quoted, request

logger = logging.getLogger(__name__)

REWRITTEN_LIMIT = 2000
"""Characters of a row that is sent whole; a longer one is left out, as a cut row has no honest rewrite."""
BATCH = 16
"""Texts in a call."""
UNANSWERED = 1
"""Texts that are asked about once more where no batch was answered at all."""
_FEW = 8  # words; a text of fewer says nothing about its language
_COMMON_SHARE = 0.15  # of the rows; a word in so many is a function word


class Rewriting:
    """Asks for rewrites and remembers them.

    Args:
        backend: the LLM.
        budget: what it may spend; nothing is asked once it is used up.
        batch: texts in a call.
        singles: texts of one :meth:`rewrite` that may be asked once more by themselves.

    Attributes:
        counts: rewrites kept, and dropped by reason.
        answered: calls that brought a usable answer.
    """

    def __init__(self, backend: ChatBackend, budget: Budget, *, batch: int = BATCH, singles: int = 6) -> None:
        self.backend, self.budget, self.batch, self.singles = backend, budget, batch, singles
        self.counts: Counter[str] = Counter()
        self.answered = 0
        self._known: dict[tuple[str, str], str] = {}

    def rewrite(self, instruction: str, texts: Sequence[str]) -> list[str | None]:
        """What the LLM makes of each text; None where nothing usable came. Same length and order."""
        wanted = [text for text in dict.fromkeys(texts) if (instruction, text) not in self._known]
        wanted = [text for text in wanted if len(text.strip()) > 0 and len(text) <= REWRITTEN_LIMIT]
        batches = [wanted[start : start + self.batch] for start in range(0, len(wanted), self.batch)]
        answered = self.answered
        missing = self._ask(instruction, batches, wanted)
        singles = self.singles if self.answered > answered else UNANSWERED
        self._ask(instruction, [[text] for text in missing[:singles]], wanted, again=True)
        return [self._known.get((instruction, text)) for text in texts]

    def _ask(
        self, instruction: str, batches: Sequence[Sequence[str]], wanted: Sequence[str], *, again: bool = False
    ) -> list[str]:
        """Asks for all batches; the texts of which nothing usable came."""
        if not batches or self.budget.stop() is not None:
            return []
        requests = [rewrite_request(instruction, batch, sample=int(again)) for batch in batches]
        missing: list[str] = []
        for batch, outcome in zip(batches, self.backend.complete(requests), strict=True):
            if not isinstance(outcome, Ok):
                self.counts[f"no answer: {outcome.name}"] += len(batch)
                missing += batch
                continue
            self.answered += 1
            answers = read_rewrites(outcome.text, batch)
            if isinstance(answers, str):
                self.counts[answers] += len(batch)
                missing += batch
                continue
            for text, answer in zip(batch, answers, strict=True):
                reason = fault(text, answer, wanted)
                if reason is None:
                    self._known[instruction, text] = " ".join(answer.split())
                    self.counts["kept"] += 1
                else:
                    self.counts[reason] += 1
                    missing.append(text)
        return missing


def rewrite_request(instruction: str, texts: Sequence[str], *, sample: int = 0) -> ChatRequest:
    """The question for one batch. The texts stand beside it, so that a recording can be looked up by them."""
    values = {"instruction": quoted(instruction, None), "rows": [quoted(text, None) for text in texts]}
    return request(
        "rewrite", values, purpose="rewrite", schema=REWRITES_SCHEMA, texts=tuple(texts), sample=sample
    )


def read_rewrites(answer: str, texts: Sequence[str]) -> list[str] | str:
    """The rewrites in an answer, one for each text; or why it cannot be used."""
    try:
        rewrites = extract_object(answer, ("rewrites",))["rewrites"]
    except MalformedJSONError:
        return "batch: no list"
    if not isinstance(rewrites, list) or not all(isinstance(item, str) for item in rewrites):
        return "batch: no list of texts"
    if len(rewrites) != len(texts):
        return "batch: wrong number"
    if _out_of_order(texts, rewrites):
        return "batch: out of order"
    return rewrites


def fault(text: str, rewrite: str, rows: Sequence[str] = ()) -> str | None:
    """What is wrong with a rewrite, in a few words; None where nothing is.

    Args:
        text: the row as it was.
        rewrite: what came.
        rows: rows of the same data set, which tell its common words.
    """
    line = " ".join(rewrite.split())
    if not line:
        return "empty"
    if any(is_hidden(char) for char in line):
        return "hidden characters"
    if _letters(line) == _letters(text):
        return "a copy"
    if not 0.15 * len(text) - 4 <= len(line) <= 4 * len(text) + 80:
        return "wrong length"
    if _script(line) != _script(text):
        return "another script"
    common, words = _common_words(rows), _words(line)
    if common and len(words) >= _FEW and not (common | set(_words(text))) & set(words):
        return "another language"
    return None


def _out_of_order(texts: Sequence[str], rewrites: Sequence[str]) -> bool:
    """Whether many rewrites share clearly more words with another row than with their own."""
    if len(texts) < 3:
        return False
    sources = [{word for word in _words(text) if len(word) > 3} for text in texts]
    strange = 0
    for place, rewrite in enumerate(rewrites):
        words = set(_words(rewrite))
        shared = [len(words & source) for source in sources]
        strange += max(shared) >= shared[place] + 2
    return strange > len(texts) / 3


def _common_words(rows: Sequence[str]) -> set[str]:
    """The function words of the rows' language, as far as the rows tell them."""
    if len(rows) < _FEW:
        return set()
    counts = Counter(word for text in rows for word in set(_words(text)))
    return {word for word, count in counts.items() if count >= max(2, _COMMON_SHARE * len(rows))}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _letters(text: str) -> str:
    return "".join(_words(normal_form(text)))


def _script(text: str) -> str:
    """The script of most letters, by their Unicode names: LATIN, CYRILLIC, CJK, ..."""
    scripts = Counter(unicodedata.name(char, "?").split()[0] for char in text if char.isalpha())
    return scripts.most_common(1)[0][0] if scripts else ""
