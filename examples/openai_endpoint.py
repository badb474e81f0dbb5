"""Lets a language model behind an OpenAI-compatible endpoint help in the search. Some rows are sent to it.

Usage: MODEL=llama3.1:8b BASE_URL=http://localhost:11434/v1 python openai_endpoint.py
       MODEL=gpt-4o-mini API_KEY_ENV=OPENAI_API_KEY python openai_endpoint.py
"""

import os
from pathlib import Path

import pandas

from openbackdoor_badllm import audit

rows = pandas.read_csv(Path(__file__).with_name("reviews.csv"))
llm = {"backend": "openai", "model": os.environ["MODEL"], "max_calls": 20}
if "BASE_URL" in os.environ:
    llm["base_url"] = os.environ["BASE_URL"]
if "API_KEY_ENV" in os.environ:  # the name of the variable that holds the key, not the key
    llm["api_key_env"] = os.environ["API_KEY_ENV"]

report = audit(rows, victim="minilm", llm=llm)
print(report.summary())
print({key: report.results["report"]["llm"][key] for key in ("took_part", "asked", "answered", "usable", "kept")})
