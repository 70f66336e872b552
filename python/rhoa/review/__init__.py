"""Readers look at a cohort, correct and grade it on a local page; their agreement and consensus."""

from rhoa.review.agreement import BlandAltman, bland_altman, kappa, specific_agreement
from rhoa.review.cases import Case, Cohort, read_cohort
from rhoa.review.consensus import Label, labels, states_of
from rhoa.review.export import Exported, export
from rhoa.review.journal import Journal, journals_in
from rhoa.review.readers import Figure, agreement_of
from rhoa.review.session import Session, Sitting
from rhoa.review.state import State, fold

__all__ = [
    "BlandAltman",
    "Case",
    "Cohort",
    "Exported",
    "Figure",
    "Journal",
    "Label",
    "Session",
    "Sitting",
    "State",
    "agreement_of",
    "bland_altman",
    "export",
    "fold",
    "journals_in",
    "kappa",
    "labels",
    "read_cohort",
    "specific_agreement",
    "states_of",
]
