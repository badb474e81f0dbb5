"""Audits a classifier of your own, here one of scikit-learn: any function from texts to probabilities will do."""

from pathlib import Path

import pandas
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from openbackdoor_badllm import audit

rows = pandas.read_csv(Path(__file__).with_name("reviews.csv"))
classifier = make_pipeline(TfidfVectorizer(), LogisticRegression(C=100)).fit(rows.text, rows.label)

report = audit(rows, model=classifier.predict_proba, label_names=list(classifier.classes_), victim="minilm")
print(report.summary())
for note in report.notes:
    print(note)
