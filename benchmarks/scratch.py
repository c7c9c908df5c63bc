"""The built-in encoder without its pretraining: the same architecture and tokenizer, random weights.

python -m benchmarks.scratch runs/scratch-model
dither compare builtin/sentiment --model runs/scratch-model --methods none --out runs/scratch
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForPreTraining, AutoTokenizer

from dither.builtin import MODEL_DIR


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scratch", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.manual_seed(0)
    AutoModelForPreTraining.from_config(AutoConfig.from_pretrained(MODEL_DIR)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(MODEL_DIR).save_pretrained(folder)


if __name__ == "__main__":
    main()
