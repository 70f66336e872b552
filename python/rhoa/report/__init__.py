"""The report: one page that shows a study, its models, and how good they are."""

from rhoa.report.write import write_report

__all__ = ["write_report"]
