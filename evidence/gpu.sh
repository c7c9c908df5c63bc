#!/usr/bin/env bash
# On a machine with a GPU, one after the other and each within what is left of MINUTES:
#   1. the tests of the CUDA kernels             OUT/kernels.log
#   2. the benchmarks of noise and training      OUT/benchmarks.json
#   3. evidence/gpu.toml, 25 seeds               OUT/gpu.sqlite.xz (the ledger)
# The same command goes on from what is in OUT; with --dry-run it is tried out on a processor, at tiny sizes.
set -euo pipefail

usage="usage: evidence/gpu.sh MODEL DATA OUT [MINUTES=25] [--dry-run]
  MODEL    folder of all-MiniLM-L6-v2
  DATA     folder with glue/rte, glue/mrpc, glue/stsb, glue/cola
  OUT      folder of what comes out, and of what an earlier call left
  MINUTES  after which it ends, with all finished runs kept"
[[ $# -ge 3 ]] || { echo "$usage" >&2; exit 2; }
model=$(realpath "$1") data=$(realpath "$2") out=$(realpath -m "$3")
minutes=25 dry=
for word in "${@:4}"; do
  case $word in
    --dry-run) dry=yes ;;
    [1-9]|[1-9][0-9]) minutes=$word ;;
    *) echo "evidence/gpu.sh: '$word' is neither --dry-run nor a number of minutes from 1 to 99" >&2
       echo "$usage" >&2; exit 2 ;;
  esac
done
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
python=${PYTHON:-python3}
largest=$((16 * 1024 * 1024))  # bytes of a ledger that is carried along

if [[ $dry ]]; then
  device=cpu kernels=(tests/gpu/test_cuda_compiled.py) parts=(--quick --only pats)
  study=(--tasks glue/rte@train_fraction=0.02 --seeds 300 --set train.max_steps=2 --jobs 1 --threads 1)
else
  "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null ||
    { echo "evidence/gpu.sh: $python finds no CUDA device (torch.cuda.is_available()); try it out with --dry-run" >&2; exit 2; }
  device=cuda kernels=(tests/gpu) parts=(--only noise --only pats --only training)
  study=(--jobs "${JOBS:-8}" --threads 1)
fi

mkdir -p "$out"
end=$((SECONDS + 60 * minutes))
within() { timeout --signal=INT --kill-after=30 "$((end - SECONDS > 1 ? end - SECONDS : 1))" "$@"; }

if [[ ! -e $out/kernels.log ]]; then
  echo "== kernels"
  within "$python" -m pytest -q -p no:cacheprovider "${kernels[@]}" 2>&1 | tee "$out/kernels.part"
  mv "$out/kernels.part" "$out/kernels.log"
fi
if [[ ! -e $out/benchmarks.json ]]; then
  echo "== benchmarks"
  within "$python" -m benchmarks --device $device "${parts[@]}" --out "$out/benchmarks.part.json"
  mv "$out/benchmarks.part.json" "$out/benchmarks.json"
fi

echo "== study"
mkdir -p "$out/runs"
[[ -e $out/runs/ledger.sqlite || ! -e $out/gpu.sqlite.xz ]] ||
  xz --decompress --stdout "$out/gpu.sqlite.xz" > "$out/runs/ledger.sqlite"
status=0
within "$python" -m dither reproduce evidence/gpu.toml --model "$model" --data-dir "$data" --out "$out/runs" "${study[@]}" ||
  status=$?
[[ -e $out/runs/ledger.sqlite ]] || exit $status
xz --stdout "$out/runs/ledger.sqlite" > "$out/gpu.part.xz"
mv "$out/gpu.part.xz" "$out/gpu.sqlite.xz"
size=$(stat --format=%s "$out/gpu.sqlite.xz")
echo "the ledger: $out/gpu.sqlite.xz, $size bytes"
((size <= largest)) || { echo "evidence/gpu.sh: that is more than $largest bytes; carry it in parts" >&2; exit 1; }
case $status in
  0) echo "complete" ;;
  124|130|137) echo "not complete after $minutes minutes: the same command goes on"; exit 0 ;;
  *) exit $status ;;
esac
