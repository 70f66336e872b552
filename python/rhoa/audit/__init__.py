"""Published tables of two-class models, audited: which confusion matrices they can come from.

>>> import rhoa
>>> printed = {"accuracy": 83.3, "balanced_accuracy": 83.3}
>>> rhoa.audit.check(printed, positives=15, negatives=9).verdict
'impossible'
"""

from rhoa.audit.reconstruction import Audit, Match, Repair, check, confusions, meaning
from rhoa.audit.tables import (
    AuditedRow,
    Compared,
    PublishedRow,
    TableAudit,
    compare,
    read_predictions,
    read_table,
    remarks,
    table,
)

__all__ = [
    "Audit",
    "AuditedRow",
    "Compared",
    "Match",
    "PublishedRow",
    "Repair",
    "TableAudit",
    "check",
    "compare",
    "confusions",
    "meaning",
    "read_predictions",
    "read_table",
    "remarks",
    "table",
]
