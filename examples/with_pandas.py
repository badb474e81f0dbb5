"""Audits a DataFrame, and counts the flagged rows by a further column: who wrote them?"""

from pathlib import Path

import pandas

from openbackdoor_badllm import audit

rows = pandas.read_csv(Path(__file__).with_name("reviews.csv"))
rows["source"] = [f"batch {number // 100}" for number in rows.index]  # stands for what you know of your rows
report = audit(rows, victim="minilm", text_column="text", label_column="label")
flagged = report.flagged_rows
print(flagged[["row", "trigger", "label", "suggested_label"]].head())
print(rows.loc[flagged["row"], "source"].value_counts())
