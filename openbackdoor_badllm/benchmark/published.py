"""The numbers that the paper publishes (arXiv 2603.15692, Table 1 and its ablation). They are the authors', not ours.

Setting of theirs: BERT-base-uncased, lr 2e-5, all rows, poison rate 20 %, dirty; Llama-3.3-70B-Instruct as generator.
CACC and ASR in percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SOURCE = "arXiv 2603.15692, BERT-base, all rows, 20 % dirty"
RATE, SETTING = 0.2, "dirty"
DEFENDERS = ("none", "onion", "rap", "musclelora", "badacts", "badllmtg")

_TABLE = """
sst-2   badnets   91.49/95.92   87.28/19.43  90.81/73.95   83.54/17.96  89.40/18.38  91.09/14.76
sst-2   addsent   91.58/99.23   87.81/86.75  90.04/98.44   84.31/34.50  89.60/50.55  88.24/0.86
sst-2   stylebkd  91.42/70.11   87.37/71.09  89.31/67.21   83.71/37.11  89.35/56.84  88.96/25.13
sst-2   synbkd    90.55/94.56   85.36/94.78  89.14/94.43   84.40/30.61  88.19/82.30  70.26/14.36
hsol    badnets   89.52/99.01   89.26/8.57   71.60/59.35   89.54/1.15   89.54/0.30   90.75/18.52
hsol    addsent   91.59/99.99   91.16/94.18  91.29/100.00  89.54/11.93  89.09/16.94  89.54/7.78
hsol    stylebkd  89.08/85.47   87.68/80.76  88.76/84.91   89.42/18.19  86.37/62.77  89.54/11.25
hsol    synbkd    90.28/98.27   89.53/90.18  89.52/98.12   89.34/0.80   88.52/39.83  89.54/29.14
agnews  badnets   93.97/83.55   92.69/6.75   93.70/59.67   88.35/2.03   92.12/92.83  93.04/10.25
agnews  addsent   94.32/100.00  93.16/81.62  79.94/80.00   87.97/99.96  92.19/72.95  93.86/6.12
agnews  stylebkd  94.24/99.83   92.22/92.76  92.24/90.06   88.16/3.10   92.06/61.78  88.96/19.64
agnews  synbkd    94.26/93.55   93.23/96.52  93.61/99.79   87.46/97.29  92.20/57.24  89.61/13.63
"""
_MEANS = "91.86/93.29 89.73/68.62 88.33/88.33 87.15/27.98 89.89/51.06 88.62/14.29"


def _figures(cell: str) -> Mapping[str, float]:
    cacc, asr = (round(float(number) / 100, 4) for number in cell.split("/"))
    return MappingProxyType({"CACC": cacc, "ASR": asr})


def _read() -> Mapping[tuple[str, str, str], Mapping[str, float]]:
    found = {}
    for line in _TABLE.split("\n"):
        if line:
            dataset, attack, *cells = line.split()
            for defender, cell in zip(DEFENDERS, cells, strict=True):
                found[dataset, attack, defender] = _figures(cell)
    return MappingProxyType(found)


TABLE = _read()
"""Data set, attack and defender by OpenBackdoor's names, to shares."""
MEANS = MappingProxyType(dict(zip(DEFENDERS, map(_figures, _MEANS.split()), strict=True)))
"""Its mean over the twelve pairs."""


def theirs(dataset: str, attack: str, rate: float, setting: str, defender: str) -> dict[str, float] | None:
    """The paper's figures for a pair, as shares; None where it has none."""
    if rate != RATE or setting != SETTING:
        return None
    found = TABLE.get((dataset, attack, defender))
    return None if found is None else dict(found)
