"""Side-by-side comparisons: a grid of attacks, defences and seeds, run where it fits, and its tables.

What a benchmark leaves in its output folder ``OUT``; all paths in these files are relative to ``OUT``, all files are
written whole or not at all, JSON has no NaN (null instead)::

    OUT/
      grid.yaml                the grid as it was run, --set written in (not there after a run of JSON configs)
      plan.json                the cells of the last run, in order (below)
      table.json               every figure of every line (below); the other tables are made from it
      table.md  table.csv  table.tex
      report.html              the page, with report-pictures/ beside it (not there without the extra ``report``)
      cells/NAME/              one run folder a cell, as ``badllmtg defend`` leaves it: config.json, results.json,
                               predictions.csv, flagged.csv, search.json, transcript.jsonl, run.log
        cell.json              its entry of plan.json
        made.json              who made it: {"executor", "threads", "gpu", "host", "seconds",
                               "cpu_seconds", "finished"}
        failure.json           only in a cell that failed: {"sentence", "kind", "seconds"}; kind is "bad input" (the
                               user can mend it), "defect" (of this program) or "killed"
        .lock                  held by the process that runs it; free again when that process dies, however it dies

NAME is ``<data set>_<attack>_<setting><rate in %>_<defender's name>_s<seed>_<12 hex digits>``. The digits are the hash
of what defines the cell: its resolved config without ``data_root``, the names of its lines and, on the real
OpenBackdoor, the host and its commit. A cell is finished when it holds ``results.json``. Two kinds of cells share the
work of a pair (data set, attack, rate, setting, victim) and a seed:

- ``references``: results.json has the lines ``undefended``, ``oracle filter`` and ``trained on clean rows``, no
  report. In the tables these are the defenders ``none``, ``oracle`` and ``clean``.
- ``defender``: one for each defender of the grid; results.json has the line ``defended`` alone (and ``report``,
  ``truth`` with badllmtg). Its references are in the cell that plan.json names under ``references``.

JSON configs (``run_benchmark.py A.json B.json``) make cells of a third kind, ``whole``, with all lines of a run, in
``OUT/<config>-<profile>-seed<seed>-<8 hex digits>/``.

``plan.json``: ``{"schema": 1, "grid": NAME, "ours": LABEL, "host": HOST, "cells": [CELL, ...]}``, where HOST is
``{"name": "builtin" | "upstream", "revision": commit of the real OpenBackdoor or ""}`` and CELL::

    {"folder": "cells/...", "kind": "references" | "defender" | "whole", "references": "cells/..." or null,
     "dataset": "sst-2", "attack": "badnets", "rate": 0.2, "setting": "dirty", "victim": "minilm",
     "defender": LABEL or null (of references), "seed": 42, "profile": "desk",
     "host": "builtin" | "upstream"}

``dataset``, ``attack``, ``victim`` and ``defender`` are the labels of the grid: two ablations of one defender have two.

``table.json``::

    {"schema": 1, "grid": NAME, "ours": LABEL, "host": HOST, "versions": [the distinct ``versions`` of the cells],
     "records": [RECORD, ...], "averages": [AVERAGE, ...], "comparisons": [COMPARISON, ...]}

    RECORD   one line of one pair over its seeds:
      {"dataset", "attack", "rate", "setting", "victim", "profile",
       "defender": "none" | "oracle" | "clean" | LABEL, "reference": true for those three, "ours": true for ours,
       "seeds": [42, 43], "cells": ["cells/...", "cells/..."],            # one of each for each finished seed
       "failures": [{"seed": 44, "cell": "cells/...", "sentence": "..."}],
       "figures": {"CACC": {"values": [0.86, null], "mean": 0.86, "std": 0.0}, ...},
       "found": ["cf; tq", "cf"] (badllmtg: what was found, one text a seed),
       "paper": {"CACC": 0.9109, "ASR": 0.1476} or null}                  # the paper's own numbers for this pair

    AVERAGE  the same line over all pairs of one rate, setting and victim: means of the pairs' means;
      {"rate", "setting", "victim", "profile", "defender", "reference", "ours", "pairs": 12, "figures": {...}, "paper"}
      (std is over the pairs here); "complete" is false where a pair that others have is missing

    COMPARISON  ours against the best other defender, paired by pair and seed:
      {"rate", "setting", "victim", "profile", "figure": "ASR", "ours", "other", "n", "mean_difference",
       "interval": [low, high] or null, "p", "test"}

Figures: shares (0 to 1) ``CACC``, ``ASR``, ``excess ASR`` (ASR minus that of ``clean``, the floor), ``R-Acc``,
``variant ASR`` (of the most successful variant of the trigger), ``excess variant ASR`` (the most that any variant has
above its own floor), ``FRR``, ``FAR``, ``AUROC``, ``precision``, ``recall``, ``label right``, ``backdoor``; and
``seconds``, ``memory`` (peak, MiB), ``LLM calls``, ``LLM tokens``, ``LLM money``. One that a line does not have is left
out of ``figures``.
"""
