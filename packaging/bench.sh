#!/usr/bin/env bash
# Starts a fresh sherd on six directories and runs the suite of docs/performance.md against it.
# usage: packaging/bench.sh SHERD DIRECTORY [flags of `sherd bench suite`]
set -euo pipefail
sherd=$1 dir=$2
shift 2
rm -rf "$dir"
mkdir -p "$dir"
export SHERD_ROOT_USER=bench SHERD_ROOT_PASSWORD=bench-password
export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench-password
"$sherd" server --listen 127.0.0.1:19000 "$dir/d{1...6}" 2>"$dir/log" &
pid=$!
trap 'kill "$pid"; wait "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
	curl -sf http://127.0.0.1:19000/_/ready >/dev/null && break
	kill -0 "$pid" || { cat "$dir/log"; exit 1; }
	sleep 0.1
done
"$sherd" bench suite --endpoint http://127.0.0.1:19000 --server-pid "$pid" --runs 3 "$@"
