"""Cohorts: tables of hips, partitions that share no subject, crops from scans."""

from rhoa.cohort.balance import Balance
from rhoa.cohort.build import build
from rhoa.cohort.manifest import Hip, Manifest, read
from rhoa.cohort.split import balance, folds, require_disjoint, split

__all__ = [
    "Balance",
    "Hip",
    "Manifest",
    "balance",
    "build",
    "folds",
    "read",
    "require_disjoint",
    "split",
]
