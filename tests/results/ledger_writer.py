"""A writer to be killed: ``ledger_writer.py FOLDER RUNS`` adds RUNS runs.

It reopens the ledger after every fifth, and prints a run's id when its `add` has returned.
"""

import sys

from results_samples import experiment, result, spec

from dither.results import Ledger


def write(folder: str, runs: int) -> None:
    plan = experiment(seeds=tuple(range(runs)))
    while True:
        with Ledger.create_or_resume(folder, plan) as ledger:
            done = set(ledger.finished_ids())
            todo = [one for one in map(spec, range(runs)) if one.id not in done]
            for one in todo[:5]:
                ledger.add(result(one, rows=2000))
                print(one.id, flush=True)
            if len(todo) <= 5:
                return


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
