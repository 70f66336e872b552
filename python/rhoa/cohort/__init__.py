"""Cohorts: tables of hips, partitions that share no subject, their audit, crops from scans."""

from rhoa.cohort.accounts import ImageFlow, Intake, TableFlow
from rhoa.cohort.balance import Balance
from rhoa.cohort.build import build
from rhoa.cohort.cases import Case, Outcome, Pool, run_cases
from rhoa.cohort.flow import Flow
from rhoa.cohort.intake import Codes
from rhoa.cohort.leaks import Leak, Leaks, leaks, require_no_leaks
from rhoa.cohort.manifest import Hip, Manifest, read
from rhoa.cohort.pools import dask, processes
from rhoa.cohort.pseudonyms import Pseudonyms
from rhoa.cohort.split import balance, folds, require_disjoint, split
from rhoa.cohort.studies import CheckColumns, OaiColumns, check, oai

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
