"""Whole groups into partitions, every class as near to its wanted counts as they allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int_]
    Numbers = NDArray[np.float64]

# Groups with the same counts of each class are alike: the search sees how many of a kind lie where,
# not which. Cohorts have tens of kinds. Of more than this many, the larger stay where they were
# put first: the small ones are what fills the last places.
MOST_KINDS = 256
MOST_EXCHANGES = 4_000_000  # looked at together, which bounds memory where partitions are many
MOST_WAYS = 3**8  # cohorts so small that every way of placing their groups is tried
PATIENCE = 12  # shakes in a row that find nothing better, which end the search
SHAKEN_GROUPS = 5


def place(counts: Counts, targets: Numbers, random: np.random.Generator) -> Counts:
    """The partition of each group, ``(groups,)``.

    The sum of squared differences between reached and wanted counts is the least there is where
    groups are few: eight in three partitions. Else it is descended by moving a group or exchanging
    two, shaken, descended again, and the best kept. Which groups of a kind go where is drawn.

    Parameters
    ----------
    counts
        Members of each (group, class).
    targets
        Wanted members of each (class, partition); a class sums to its number of members.
    random
        Draws.
    """
    if targets.shape[1] ** len(counts) <= MOST_WAYS:
        return _best_of_all(counts, targets, random)
    kinds, kind_of, sizes = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    by_size = np.argsort(kinds.sum(axis=1), kind="stable")
    rank = np.argsort(by_size, kind="stable")
    search = _Search(kinds[by_size], targets)
    best = search.descend(_start(kinds[by_size], sizes[by_size], targets, random))
    cost, least, idle = search.cost(best), search.least, 0
    while cost > least + 1e-9 and idle < PATIENCE:
        found = search.descend(_shaken(best, random))
        idle += 1
        if search.cost(found) < cost - 1e-9:
            best, cost, idle = found, search.cost(found), 0
    order = random.permutation(len(counts))
    kind_of = rank[kind_of.reshape(-1)]
    order = order[np.argsort(kind_of[order], kind="stable")]
    assigned = np.empty(len(counts), int)
    partitions = np.arange(targets.shape[1])
    assigned[order] = np.repeat(np.tile(partitions, len(kinds)), best.ravel())
    return assigned


def _best_of_all(counts: Counts, targets: Numbers, random: np.random.Generator) -> Counts:
    """One of the best of all ways of placing the groups, drawn."""
    parts = targets.shape[1]
    ways = np.stack(np.unravel_index(np.arange(parts ** len(counts)), (parts,) * len(counts)))
    reached = np.stack([counts.T @ (ways == part) for part in range(parts)], axis=1)
    costs = _cost(np.moveaxis(reached, 2, 0), targets)
    chosen = int(random.choice(np.flatnonzero(costs <= costs.min() + 1e-9)))
    return ways[:, chosen].astype(int)


def _cost(reached: Counts, targets: Numbers) -> Numbers:
    """Squared differences, and one for each class that misses a partition it should be in."""
    missing = (reached == 0) & (targets >= 1)
    costs: Numbers = ((reached - targets) ** 2 + missing).sum(axis=(-2, -1))
    return costs


def _start(kinds: Counts, sizes: Counts, targets: Numbers, random: np.random.Generator) -> Counts:
    """Each kind by the shares of its classes; what is left over, largest first, where it fits best.

    The result is groups of each (kind, partition).
    """
    shares = targets / np.maximum(targets.sum(axis=1, keepdims=True), 1)
    wanted = kinds @ shares / kinds.sum(axis=1, keepdims=True) * sizes[:, None]
    table: Counts = np.floor(wanted + 1e-9).astype(int)
    left = np.repeat(np.arange(len(kinds)), sizes - table.sum(axis=1))
    left = random.permutation(left)
    left = left[np.argsort(-kinds[left].sum(axis=1), kind="stable")]
    surplus = kinds.T @ table - targets
    for kind in left:
        part = int(np.argmin(kinds[kind] @ surplus))  # the least sum of squares afterwards
        table[kind, part] += 1
        surplus[:, part] += kinds[kind]
    return table


def _shaken(table: Counts, random: np.random.Generator) -> Counts:
    """Two to five groups, each put into a partition that is drawn."""
    table = table.copy()
    parts = table.shape[1]
    for _ in range(int(random.integers(2, SHAKEN_GROUPS + 1))):
        groups = table[:MOST_KINDS].ravel()
        if not groups.any():
            break
        kind, part = divmod(int(random.choice(np.flatnonzero(groups))), parts)
        table[kind, part] -= 1
        table[kind, random.integers(parts)] += 1
    return table


@dataclass(frozen=True)
class _Search:
    """Descent among tables of how many groups of each kind lie in each partition."""

    kinds: Counts
    targets: Numbers

    def cost(self, table: Counts) -> float:
        """Of the counts that a table reaches."""
        return float(_cost(self.kinds.T @ table, self.targets))

    @property
    def least(self) -> float:
        """The cost of largest remainders, which only single members can reach."""
        rest = np.sort(self.targets - np.floor(self.targets + 1e-9), axis=1)[:, ::-1].clip(0)
        raised = np.rint(rest.sum(axis=1, keepdims=True)) > np.arange(rest.shape[1])
        return float((np.where(raised, 1 - rest, rest) ** 2).sum())

    def descend(self, table: Counts) -> Counts:
        """The table after the best exchange or move, again and again until none lowers the cost."""
        table = table.copy()
        first, second = np.triu_indices(table.shape[1], 1)
        moved = min(MOST_KINDS, int((MOST_EXCHANGES / len(first)) ** 0.5))
        # The last row is no group at all: an exchange with it is a move.
        kinds = np.vstack([self.kinds[:moved], np.zeros_like(self.kinds[:1])])
        present = np.ones((len(kinds), table.shape[1]), bool)
        norms = (kinds**2).sum(axis=1)
        # With D leaving p for q, squares grow by 2 D.D + 2 D.(surplus of q - surplus of p).
        squares = 2.0 * (norms[:, None] + norms[None, :] - 2 * kinds @ kinds.T)
        while True:
            surplus = self.kinds.T @ table - self.targets
            present[:-1] = table[:moved] > 0
            pulls = 2.0 * kinds @ (surplus[:, second] - surplus[:, first])
            out = np.where(present[:, first], pulls, np.inf).T
            back = np.where(present[:, second], -pulls, np.inf).T
            changes = squares + out[:, :, None] + back[:, None, :]
            best = int(changes.argmin())
            if changes.flat[best] > -1e-9:
                return table
            pair, leaving, coming = np.unravel_index(best, changes.shape)
            p, q = first[pair], second[pair]
            for kind, origin, goal in ((leaving, p, q), (coming, q, p)):
                if kind < len(kinds) - 1:
                    table[kind, origin] -= 1
                    table[kind, goal] += 1
