"""Cohorts: tables of hips, partitions that share no subject, crops from scans."""

from rhoa.cohort.build import build
from rhoa.cohort.manifest import Hip, Manifest, read
from rhoa.cohort.split import require_disjoint, split

__all__ = ["Hip", "Manifest", "build", "read", "require_disjoint", "split"]
