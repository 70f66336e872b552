"""Cohorts: tables of hips, partitions that share no subject, crops from scans."""

from rhoa.cohort.build import build
from rhoa.cohort.flow import Flow, ImageFlow, Intake
from rhoa.cohort.intake import Codes
from rhoa.cohort.manifest import Hip, Manifest, read
from rhoa.cohort.split import require_disjoint, split
from rhoa.cohort.studies import CheckColumns, OaiColumns, check, oai

__all__ = [
    "CheckColumns",
    "Codes",
    "Flow",
    "Hip",
    "ImageFlow",
    "Intake",
    "Manifest",
    "OaiColumns",
    "build",
    "check",
    "oai",
    "read",
    "require_disjoint",
    "split",
]
