#!/usr/bin/env bash
# Runs the heavy tests with their full counts and writes what came of them to a page.
# usage: [SCHEDULES=n] [FUZZTIME=60s] test/soak.sh PAGE
set -uo pipefail
page=$1
schedules=${SCHEDULES:-10000}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
began=$(date -u +%FT%TZ)
failed=0
run() {
	${GO:-go} test -timeout 24h -parallel 4 -v "$@" 2>&1 | tee -a "$log" | grep -E '^(--- |ok|FAIL|panic)'
	[ "${PIPESTATUS[0]}" = 0 ] || failed=1
}
# search lets each fuzz target search for FUZZTIME.
search() {
	# shellcheck disable=SC2046 # one word a package
	test/fuzz.sh $(${GO:-go} list ./... | grep -v /test/) 2>&1 | tee -a "$log" | grep -E '^--- '
	[ "${PIPESTATUS[0]}" = 0 ] || failed=1
}
run -run 'PowerCut|Crash' ./disk -args -soak
run -run 'Crash' ./meta/replica -args -soak
run -run 'LockedVersions|VersionHistories' ./meta/state ./gateway -args -soak
run -run 'Linearizable' ./meta ./meta/remote -args -soak
run ./test/sim -args -soak -schedules "$schedules"
run ./test/e2e/ -args -soak
search
{
	echo "# The last soak"
	echo
	echo "\`make soak\` on $(git rev-parse --short=12 HEAD), begun $began, ended $(date -u +%FT%TZ); $(nproc) cores, $(uname -sr), $(${GO:-go} version | cut -d' ' -f3)."
	echo "It runs the tests below with their full counts: 200 kills, all 15 pairs of drives, an object of 5 GiB, $schedules schedules of the simulation, and so on. Each fuzz target then searches for ${FUZZTIME:-60s}."
	echo "Schedules of the simulation that passed: $(grep -cE '^ *--- PASS: TestSchedules/seed' "$log"); that failed: $(grep -cE '^ *--- FAIL: TestSchedules/seed' "$log")."
	echo "A test's seed stands beside it where it has one; \`-args -soak -seed N\` runs it again."
	echo
	echo '```'
	grep -E '^ *(--- (PASS|FAIL|SKIP)|ok|FAIL|panic)|^ {4,}[a-z0-9_]+_test\.go:[0-9]+:' "$log" | grep -vE '^ {4,}--- PASS|: [0-9]+ cuts$' | cut -c1-240
	echo '```'
} >"$page"
exit $failed
