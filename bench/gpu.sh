#!/usr/bin/env bash
# Everything that a machine with a GPU should show, in one go: the whole test suite (the subgroup matrices among it), the kernel
# bench with the rules' kernels, tuned, and with f16 factors on matrix units; kernels and training step beside PyTorch where it is
# installed, the joint step of the full-width MSALDS-UNet, and a training run on the phantom.
# Results go to bench/results/ (and $OUT, where set).
#   bash bench/gpu.sh
set -uo pipefail
cd "$(dirname "$0")/.."
day=$(date +%Y-%m-%d)
device=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1 | tr -c 'A-Za-z0-9\n' '-' || true)
name=${device:-unknown}-$day
mkdir -p bench/results
status=0
node scripts/build.mjs || exit 1
npx vitest run --reporter=default --reporter=json --outputFile.json="bench/results/$name.tests.json" || status=1
node dist/bench.js --samples 9 --json "bench/results/$name.json" || status=1
node dist/bench.js --filter conv --tune 20 --json "bench/results/$name.tuned.json" || status=1
node dist/bench.js --filter conv --precision high --tune 20 --json "bench/results/$name.f16.json" || status=1
if python3 -c "import torch" 2>/dev/null; then
  PYTHON=python3 node dist/bench.js --peers pytorch --json "bench/results/$name.peers.json" || status=1
  python3 bench/peers/torch_kernels.py 9 > "bench/results/$name.torch.jsonl" || status=1
else
  echo "PyTorch is not here; no comparison" >&2
fi
node dist/bench-models.js --preset msalds --seconds 45 --json "bench/results/$name.models.json" || status=1
node dist/bench-models.js --preset msalds --precision f16 --seconds 45 --json "bench/results/$name.models-f16.json" || status=1
node dist/train-kits.js --out "$(mktemp -d)/phantom" --progress lines 2>&1 | tee "bench/results/$name.phantom.txt" || status=1
[ -n "${OUT:-}" ] && cp bench/results/"$name"* "$OUT"/
exit $status
