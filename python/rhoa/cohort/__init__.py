"""Cohorts: tables of hips, partitions that share no subject, crops from scans."""

from rhoa.cohort.build import build
from rhoa.cohort.cases import Case, Outcome, Pool, run_cases
from rhoa.cohort.flow import Flow, ImageFlow, Intake
from rhoa.cohort.intake import Codes
from rhoa.cohort.manifest import Hip, Manifest, read
from rhoa.cohort.pools import dask, processes
from rhoa.cohort.split import require_disjoint, split
from rhoa.cohort.studies import CheckColumns, OaiColumns, check, oai

__all__ = [
    "Case",
    "CheckColumns",
    "Codes",
    "Flow",
    "Hip",
    "ImageFlow",
    "Intake",
    "Manifest",
    "OaiColumns",
    "Outcome",
    "Pool",
    "build",
    "check",
    "dask",
    "oai",
    "processes",
    "read",
    "require_disjoint",
    "run_cases",
    "split",
]
