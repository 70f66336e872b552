"""Published tables of two-class models, audited: which confusion matrices they can come from.

>>> import rhoa
>>> printed = {"accuracy": 83.3, "balanced_accuracy": 83.3}
>>> rhoa.audit.check(printed, positives=15, negatives=9).verdict
'impossible'
"""

from rhoa.audit.matching import Audit, Match, check, confusions
from rhoa.audit.predictions import Compared, compare, read_predictions
from rhoa.audit.readings import meaning
from rhoa.audit.remarks import remarks
from rhoa.audit.repairs import Repair
from rhoa.audit.tables import PublishedRow, TableAudit, read_table, table

__all__ = [
    "Audit",
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
