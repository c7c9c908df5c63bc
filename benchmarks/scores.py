"""Mean and standard deviation of the scores in a folder of runs, as the rows of a table.

python -m benchmarks.scores runs/builtin
"""

import argparse
import statistics
from collections import defaultdict
from pathlib import Path

from dither.results import Ledger


def main() -> None:
    """Print a Markdown table: a row a task, a column a method."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scores", description=__doc__)
    parser.add_argument("folder", type=Path)
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with Ledger.read(parser.parse_args().folder) as ledger:
        for result in ledger.results():
            if result.score is not None:
                scores[result.spec.task][result.spec.method].append(result.score)
        methods = list(ledger.experiment.methods)
    print(f"| task | {' | '.join(methods)} |")
    print(f"| --- |{' ---: |' * len(methods)}")
    for task, by_method in scores.items():
        print(f"| {task} | {' | '.join(cell(by_method[method]) for method in methods)} |")


def cell(values: list[float]) -> str:
    """Mean ± standard deviation, as far as there are runs."""
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


if __name__ == "__main__":
    main()
