#!/usr/bin/env bash
# Lets each fuzz target search for a time, one after the other. Says each target's name and what became of it; ends with 1 if one found
# something, which is then below testdata/fuzz of its package: mend it and keep the file.
# usage: [FUZZTIME=60s] test/fuzz.sh PACKAGE...
set -uo pipefail
go=${GO:-go}
failed=0
for package in "$@"; do
	targets=$($go test -list '^Fuzz' "$package" | grep '^Fuzz')
	for target in $targets; do
		if said=$($go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-60s}" -timeout 24h "$package" 2>&1); then
			echo "--- PASS: $target $package: $(grep -o 'execs: [0-9]*' <<<"$said" | tail -n 1)"
		else
			echo "--- FAIL: $target $package"
			echo "$said"
			failed=1
		fi
	done
done
exit $failed
