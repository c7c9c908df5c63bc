"""What every process that makes runs for another one does, whoever started it."""

import os
import traceback

from dither.bench.request import RunRequest
from dither.bench.run import run
from dither.results import RunResult


def be_quiet() -> None:
    """Print nothing of transformers, and keep the tokenizers from using more threads than a run has."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def run_for_sending(request: RunRequest) -> RunResult:
    """A run whose error can travel: some exceptions cannot be unpickled, which would end all processes."""
    try:
        return run(request)
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        raise RuntimeError(f"{type(error).__name__}: {error}") from RuntimeError(trace)
