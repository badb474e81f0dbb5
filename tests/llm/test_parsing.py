from __future__ import annotations

import time

import pytest

from openbackdoor_badllm.llm.parsing import MalformedJSONError, extract_object, strip_reasoning

WANTED = {"triggers": ["cf"]}
TEXT = '{"triggers": ["cf"]}'


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"Sure! Here you are:\n{TEXT}\nHope this helps {{smile}}.",
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}\n```\nDone.",
        f'<think>maybe {{"triggers": ["mn"]}}?</think>\n{TEXT}',
        f'maybe {{"triggers": ["mn"]}}?</think>\n{TEXT}',
        f"{TEXT}\n{TEXT}",
        f'{{"triggers": ["draft"]}} and better: {TEXT}',
        f'{TEXT} {{"note": "another object"}}',
        '{"triggers": ["cf",],}',
        '{"triggers": [\n  "cf"\n]\n}',
        f'In the form {{"triggers": ... }} I say {TEXT}',
        f'The form is {{"triggers": [ and I say {TEXT}',
        '["cf"]',
        'Here: ["cf"]',
    ],
)
def test_the_object_is_found(text: str) -> None:
    assert extract_object(text, ["triggers"]) == WANTED


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON object"),
        ("I would rather not.", "no JSON object"),
        ('{"triggers": ["cf", "m', "cut off"),
        ('{"triggers": ["cf", ["a"], "m', "cut off"),
        ('{"hypotheses": [{"trigger": "cf"}, {"trig', "cut off"),
        ('{"trigger": "cf"}', "without the key 'triggers'"),
        ('{"triggers": NaN}', "cut off, broken"),
        ("{'triggers': ['cf']}", "no JSON object"),
        ("__import__('os').system('true')", "no JSON object"),
        ('{"triggers": ' + "[" * 20000, "cut off"),
        ('<think>{"triggers": ["cf"]}', "cut off"),
    ],
)
def test_what_is_no_whole_object_is_refused(text: str, says: str) -> None:
    with pytest.raises(MalformedJSONError, match=says):
        extract_object(text, ["triggers"])


@pytest.mark.parametrize("unit", ['{"', "[[", '{"a":', '[{"a":[', "<think>", '{"a": "\\'])
def test_hostile_text_takes_no_time(unit: str) -> None:
    begun = time.monotonic()
    with pytest.raises(MalformedJSONError):
        extract_object(unit * 20_000, ["triggers"])
    assert time.monotonic() - begun < 5


def test_reasoning_is_cut() -> None:
    assert strip_reasoning("<think>\nhm\n</think>\n\nyes") == "yes"
    assert strip_reasoning("hm\n</think>yes") == "yes"
    assert strip_reasoning("<think>hm, and on") == ""
    assert strip_reasoning("I think so") == "I think so"
