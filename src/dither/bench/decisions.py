"""When the runs of a plan may end that ends once everything is decided."""

from collections import defaultdict
from collections.abc import Iterable

from dither.bench.compare import peek_at
from dither.bench.looks import due_looks
from dither.bench.runs.request import RunRequest
from dither.results import Ledger


class UntilDecided:
    """Looks at a ledger when a look is due, and says whether every primary test is decided.

    Args:
        requests: every run of the plan.
    """

    def __init__(self, requests: Iterable[RunRequest]) -> None:
        self._of_seed: defaultdict[int, set[str]] = defaultdict(set)
        for request in requests:
            self._of_seed[request.spec.seed].add(request.spec.id)
        self._tested, self._decided = 0, False

    def __call__(self, ledger: Ledger) -> bool:
        """Whether no more runs are needed. A look that was due is recorded before it counts.

        Raises:
            LedgerError: the look cannot be recorded.
        """
        plan, finished = ledger.experiment, set(ledger.finished_ids())
        done = (self._of_seed[seed] <= finished for seed in plan.seeds)
        whole = next((at for at, complete in enumerate(done) if not complete), len(plan.seeds))
        due = max((at for at in due_looks(plan) if at <= whole), default=0)
        if due > self._tested:
            self._tested, self._decided = due, peek_at(ledger, due=True).complete
        return self._decided
