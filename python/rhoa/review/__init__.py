"""Readers look at a cohort, correct and grade it on a local page; their agreement and consensus."""

from rhoa.evaluation.reader_agreement import BlandAltman, bland_altman, kappa, specific_agreement
from rhoa.review.cohort import Cohort, ReviewCase, read_cohort
from rhoa.review.events import (
    Boxed,
    BoxesAccepted,
    CaseState,
    Entry,
    Graded,
    Journal,
    Judged,
    Label,
    Posed,
    Reading,
    Started,
    State,
    Undone,
    fold,
    journals_in,
    labels,
    states_of,
)
from rhoa.review.exporting import Exported, Figure, agreement_of, export
from rhoa.review.session import Session, Sitting

__all__ = [
    "BlandAltman",
    "Boxed",
    "BoxesAccepted",
    "CaseState",
    "Cohort",
    "Entry",
    "Exported",
    "Figure",
    "Graded",
    "Journal",
    "Judged",
    "Label",
    "Posed",
    "Reading",
    "ReviewCase",
    "Session",
    "Sitting",
    "Started",
    "State",
    "Undone",
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
