"""Small exact scans on disk, whole or with one named defect, to test whatever reads CT.

>>> import tempfile, rhoa
>>> from rhoa.testing import make_series
>>> with tempfile.TemporaryDirectory() as folder:
...     series = make_series(folder, defect="missing-slice")
...     try:
...         rhoa.read_ct(series.path)
...     except rhoa.RhoaError as error:
...         print(series.verdict, type(error).__name__ == series.error)
error True
"""

from __future__ import annotations

from rhoa.testing.series import DEFECTS, NIFTI_DEFECTS, make_nifti, make_series
from rhoa.testing.synthetic import DifferenceFromTruth, Series, Verdict

__all__ = [
    "DEFECTS",
    "NIFTI_DEFECTS",
    "DifferenceFromTruth",
    "Series",
    "Verdict",
    "make_nifti",
    "make_series",
]
