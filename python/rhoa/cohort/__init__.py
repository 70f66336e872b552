"""Cohorts: tables of hips, partitions that share no subject, their audit, crops from scans."""

from rhoa.cohort.balance import Balance
from rhoa.cohort.build import build
from rhoa.cohort.flow import Flow
from rhoa.cohort.leaks import Leak, Leaks, leaks, require_no_leaks
from rhoa.cohort.manifest import Hip, Manifest, read
from rhoa.cohort.split import balance, folds, require_disjoint, split

__all__ = [
    "Balance",
    "Flow",
    "Hip",
    "Leak",
    "Leaks",
    "Manifest",
    "balance",
    "build",
    "folds",
    "leaks",
    "read",
    "require_disjoint",
    "require_no_leaks",
    "split",
]
