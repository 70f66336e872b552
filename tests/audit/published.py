"""Tables 2 and 3 of Gebre et al. 2022, and what an exhaustive search by other code found of them.

Doi 10.1007/s00198-021-06130-y. Positives and negatives; accuracy, balanced accuracy, precision,
recall and F1 as printed; the confusion matrices (tp, tn) that print so; how many match accuracy and
balanced accuracy alone; and the figures whose misprint explains the row best.
"""

from __future__ import annotations

from typing import NamedTuple

Matrices = list[tuple[int, int]]


class Row(NamedTuple):
    """A row of the paper and its audit."""

    name: str
    positives: int
    negatives: int
    printed: tuple[str, str, str, str, str]
    matrices: Matrices
    clear: int
    misprint: tuple[str, ...] = ()
    repaired: Matrices | None = None

    @property
    def figures(self) -> dict[str, str]:
        """The printed figures by name."""
        names = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
        return dict(zip(names, self.printed, strict=True))


VAL, TEST, CT = (597, 1101), (298, 551), (15, 9)

ROWS = [
    Row(
        "X-ray val 1",
        *VAL,
        ("93.3", "92.1", ".92", ".93", ".93"),
        [(524, 1061), (525, 1059), (525, 1060), (526, 1058), (526, 1059), (527, 1057)],
        6,
    ),
    Row(
        "X-ray val 2",
        *VAL,
        ("90.6", "89.2", ".89", ".89", ".89"),
        [],
        5,
        ("recall", "f1"),
        [(503, 1036), (504, 1034), (504, 1035), (505, 1033), (506, 1032)],
    ),
    Row(
        "X-ray val 3",
        *VAL,
        ("92.7", "92.3", ".92", ".92", ".92"),
        [(542, 1032), (543, 1031), (544, 1030)],
        3,
    ),
    Row(
        "X-ray val 4",
        *VAL,
        ("90.4", "89.2", ".89", ".89", ".89"),
        [],
        2,
        ("recall",),
        [(508, 1027), (509, 1026)],
    ),
    Row(
        "X-ray test 1",
        *TEST,
        ("92.3", "88.5", ".91", ".92", ".92"),
        [],
        0,
        ("balanced_accuracy",),
        [(253 + step, 531 - step) for step in range(12)],
    ),
    Row("X-ray test 2", *TEST, ("90.2", "88.1", ".88", ".90", ".89"), [(241, 525)], 1),
    Row("X-ray test 3", *TEST, ("91.9", "91.1", ".91", ".91", ".91"), [(264, 516)], 1),
    Row("X-ray test 4", *TEST, ("91.3", "90.8", ".91", ".90", ".91"), [(266, 509)], 1),
    Row(
        "X-ray test 5, as they are",
        *TEST,
        ("49.1", "58.9", ".59", ".64", ".61"),
        [],
        2,
        ("recall",),
        [(273, 144), (274, 143)],
    ),
    Row("X-ray test 5, downsampled", *TEST, ("60.5", "55.2", ".55", ".56", ".55"), [(111, 403)], 1),
    Row("CT-AP val 3", *CT, ("79.2", "79.0", ".79", ".78", ".78"), [(12, 7)], 1),
    Row("CT-AP val 4", *CT, ("87.5", "83.3", ".83", ".92", ".87"), [(15, 6)], 1),
    Row(
        "CT-AP val 5",
        *CT,
        ("83.3", "83.3", ".83", ".82", ".83"),
        [],
        0,
        ("accuracy",),
        [(10, 9)],
    ),
    Row("CT-AP test 1", *CT, ("50.0", "60.0", ".60", ".71", ".65"), [(3, 9)], 1),
    Row("CT-AP test 2", *CT, ("50.0", "60.0", ".60", ".71", ".65"), [(3, 9)], 1),
    Row("CT-AP test 3", *CT, ("83.3", "82.2", ".82", ".82", ".82"), [(13, 7)], 1),
    Row("CT-AP test 4", *CT, ("75.0", "80.0", ".80", ".80", ".80"), [(9, 9)], 1),
    Row("CT-AP test 5", *CT, ("83.3", "82.2", ".82", ".82", ".82"), [(13, 7)], 1),
]
