# What the clients' shell scripts have in common; they source it. The contract is in doc.go.
# shellcheck shell=bash
set -euo pipefail

say() { printf '%s\n' "$*"; }
fail() { printf 'FAIL: %s\n' "$*" >&2; exit 1; }
skip() { printf '%s\n' "$*"; exit 77; }

# debian COMMAND PACKAGE... installs the packages from Debian where COMMAND is missing.
debian() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# node_packages installs what package-lock.json pins beside this file: the packages of all clients that run in node.
node_packages() {
  debian node nodejs
  debian npm npm
  local here
  here=$(dirname "${BASH_SOURCE[0]}")
  cmp -s "$here/package-lock.json" "$here/node_modules/.installed" && return
  (cd "$here" && npm ci --silent --no-audit --no-fund)
  cp "$here/package-lock.json" "$here/node_modules/.installed"
}

# needs_node skips where node is older than the AWS SDK takes (Debian 12 has 18).
needs_node() {
  local version
  version=$(node --version)
  version=${version#v}
  ((${version%%.*} >= 20)) || skip "node $version is older than 20, which the AWS SDK for JavaScript needs"
}

# same A B compares two files or two trees.
same() {
  diff -r --brief "$1" "$2" || fail "$1 and $2 differ"
}

# equal WHAT GOT WANT compares two strings.
equal() {
  [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"
}

# refused PATTERN COMMAND... wants COMMAND to fail and to print what matches the regular expression.
refused() {
  local pattern=$1 out
  shift
  if out=$("$@" 2>&1); then fail "not refused: $*"; fi
  [[ $out =~ $pattern ]] || fail "$* failed with '$out', not with $pattern"
}

# eventually WHAT COMMAND... repeats COMMAND until it succeeds: what is changed of users and policies holds within a second.
eventually() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until ("$@") >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "$what"
  done
}

# http CURL-ARGUMENTS... prints the status of a request that curl makes without credentials.
http() {
  curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' "$@"
}

# change_tree alters tree as days of work do: files change, come and go.
change_tree() {
  printf 'longer than before' >>tree/0/0.bin
  rm tree/1/1.bin
  mkdir -p tree/new
  printf 'new' >tree/new/file
}

# range FILE FROM COUNT prints COUNT bytes of FILE, the first being byte FROM, counted from 0.
range() {
  dd if="$1" bs=64K iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none
}
