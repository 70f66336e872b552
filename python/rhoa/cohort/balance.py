"""How near partitions come to what was wanted of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """One class in one partition: hips that were wanted there, and hips that are.

    ``stratum`` is empty where there are no strata.
    """

    label: str
    stratum: str
    partition: str
    wanted: int
    reached: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Wanted and reached counts; printed, a line for each class and partition."""

    shares: tuple[Share, ...]

    @property
    def largest_difference(self) -> int:
        """Hips by which the worst share misses its wanted count."""
        return max((abs(share.reached - share.wanted) for share in self.shares), default=0)

    def as_dict(self) -> dict[str, object]:
        """Plain types, for JSON."""
        return {
            "largest_difference": self.largest_difference,
            "shares": [asdict(share) for share in self.shares],
        }

    def __str__(self) -> str:
        return "\n".join(
            f"{share.stratum or 'all'} {share.label} {share.partition}: "
            f"{share.wanted} wanted, {share.reached} reached"
            for share in self.shares
        )
