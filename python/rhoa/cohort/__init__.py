"""Cohorts: tables of hips, partitions that share no subject, their audit, crops from scans."""

from rhoa.cohort.batch import Case, Outcome, Pool, dask, processes, run_cases
from rhoa.cohort.builder import build
from rhoa.cohort.leakage import Leak, Leaks, leaks, require_no_leaks
from rhoa.cohort.manifest import Flow, Hip, Manifest, read
from rhoa.cohort.partition import Balance, Share, balance, folds, require_disjoint, split
from rhoa.cohort.pseudonyms import Pseudonyms
from rhoa.cohort.study_import import (
    CheckColumns,
    Codes,
    ImageFlow,
    Intake,
    OaiColumns,
    TableFlow,
    check,
    oai,
)

__all__ = [
    "Balance",
    "Case",
    "CheckColumns",
    "Codes",
    "Flow",
    "Hip",
    "ImageFlow",
    "Intake",
    "Leak",
    "Leaks",
    "Manifest",
    "OaiColumns",
    "Outcome",
    "Pool",
    "Pseudonyms",
    "Share",
    "TableFlow",
    "balance",
    "build",
    "check",
    "dask",
    "folds",
    "leaks",
    "oai",
    "processes",
    "read",
    "require_disjoint",
    "require_no_leaks",
    "run_cases",
    "split",
]
