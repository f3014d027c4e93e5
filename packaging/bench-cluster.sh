#!/usr/bin/env bash
# What several nodes cost, how fast a lost drive is made anew, and how soon writes go on after a leader's death.
# usage: packaging/bench-cluster.sh SHERD DIRECTORY [seconds a row]; needs curl and jq, and 20 GiB below DIRECTORY
set -euo pipefail
sherd=$1 dir=$2 secs=${3:-10}
export SHERD_ROOT_USER=bench SHERD_ROOT_PASSWORD=bench-password
export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench-password AWS_REGION=us-east-1
port=19100 url=http://127.0.0.1:19100 pid=
finish() {
	[ -z "$pid" ] || { kill "$pid" && wait "$pid" || true; } 2>/dev/null
	pid=
	rm -rf "$dir"
}
trap finish EXIT

ready() {
	for _ in $(seq 600); do
		curl -sf "$url/_/ready" >/dev/null && return
		sleep 0.1
	done
	cat "$dir"/log*
	exit 1
}

one() { # one process of eight drives
	mkdir -p "$dir"
	"$sherd" server --listen 127.0.0.1:$port --ec 4+2 "$dir/d{1...8}" 2>"$dir/log" &
	pid=$!
	ready
}

four() { # four processes of two
	mkdir -p "$dir"
	"$sherd" dev cluster --nodes 4 --drives 2 --ec 4+2 --dir "$dir" --port $port --node-port $((port + 1)) >"$dir/log" 2>&1 &
	pid=$!
	ready
}

bench() { "$sherd" bench "$@" --endpoint "$url" --json; }

rows() {
	local op size clients
	while read -r op size clients; do
		bench "$op" --size "$size" --concurrency "$clients" --duration "${secs}s" --server-pid "$pid" |
			jq -r --arg row "$1: $op $size ($clients)" '"\($row)\t\(.perSecond|floor)/s\tp99 \(.latency.p99Ms) ms\tCPU \((.serverCpuMsPerRequest // 0)*100|round/100) ms"'
	done <<-END
		put 1MiB 4
		get 1MiB 4
		put 4KiB 16
		get 4KiB 16
	END
}

# lacking is how many blobs are not at full strength, as the first node counts them.
lacking() { "$sherd" status --endpoint "$url" --json | jq '[.ledger.short[1:][]?] | add // 0' || true; }

p99() { bench get --size 1MiB --concurrency 2 --duration "$1" | jq .latency.p99Ms; }

# rebuild empties a drive under the server, and waits until every blob is at full strength again.
rebuild() {
	local lost=$dir/d3 began spent
	bench put --size 1MiB --concurrency 4 --duration "$((2 * secs))s" --keep >/dev/null
	[ "$1" = idle ] || echo "get 1MiB (2) before: p99 $(p99 "${secs}s") ms"
	rm -rf "${lost:?}"/*
	until [ "$(lacking)" -gt 0 ] && "$sherd" status --endpoint "$url" --json | jq -e '[.drives[] | select(.state == "up")] | length == 8' >/dev/null; do
		sleep 0.1 # until the empty directory is a drive
	done
	began=$(date +%s%N) spent=$(cut -d' ' -f14,15 "/proc/$pid/stat" | tr ' ' +)
	[ "$1" = idle ] || echo "get 1MiB (2) while a drive is made anew: p99 $(p99 "${secs}s") ms"
	until [ "$(lacking)" = 0 ]; do sleep 0.5; done
	echo "drive made anew, $1: $(du -sm "$lost/chunks" | cut -f1) MiB in $((($(date +%s%N) - began) / 1000000)) ms," \
		"$((($(cut -d' ' -f14,15 "/proc/$pid/stat" | tr ' ' +)) - ($spent)))0 ms of CPU"
}

# put tries once, at another node than the one that is killed.
put() {
	curl -sf -o /dev/null --max-time 1 --aws-sigv4 aws:amz:us-east-1:s3 -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -X PUT -d x "http://127.0.0.$1:$port/failover/key"
}

# failover kills the node that leads the first range, and waits for a write through another one.
failover() {
	local drive node other began
	curl -sf -o /dev/null --aws-sigv4 aws:amz:us-east-1:s3 -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" -X PUT "$url/failover"
	drive=$("$sherd" range ls --endpoint "$url" --json | jq -r '.[0].leader')
	node=$("$sherd" status --endpoint "$url" --json | jq -r --arg d "$drive" '.drives[] | select(.id == $d) | .node')
	other=1
	[ "$node" != n1 ] || other=2
	until put "$other"; do sleep 0.1; done
	began=$(date +%s%N)
	pkill -KILL -P "$pid" -f -- "--node $node "
	until put "$other"; do sleep 0.02; done
	echo "writes again $((($(date +%s%N) - began) / 1000000)) ms after the range's leader $node was killed"
}

one
rows "one node"
rebuild idle
rebuild "under load"
finish
four
rows "four nodes"
failover
