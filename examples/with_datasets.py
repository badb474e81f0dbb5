"""Audits a `datasets.Dataset` and gets one back."""

from pathlib import Path

from datasets import Dataset

from openbackdoor_badllm import audit

rows = Dataset.from_csv(str(Path(__file__).with_name("reviews.csv")))
report = audit(rows, victim="minilm")
print(report.verdict, report.target_label, report.triggers)
clean = report.clean_dataset()
print(clean)
