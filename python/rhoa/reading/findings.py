"""What a reader noticed on the way: results that deserve a look."""

from __future__ import annotations

from dataclasses import dataclass, field

from rhoa.errors import ReadError


@dataclass(slots=True)
class Findings:
    """Warnings collected while reading; with ``strict`` each of them is an error."""

    strict: bool = False
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str, error: type[ReadError] = ReadError) -> None:
        """Keep ``message``, or raise it as ``error`` where reading is strict."""
        if self.strict:
            raise error(f"{message} (an error because strict=True)")
        if message not in self.warnings:
            self.warnings.append(message)
