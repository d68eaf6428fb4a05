# shellcheck shell=bash
# What every script here begins with: the project's folder, its tools on PATH, and three words to talk with.
#
# Sourced, not run. Everything that the scripts install lies in .venv and .cache; only `scripts/setup --test` asks apt.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PROJECT=$PWD
export PATH="$PROJECT/.cache/bin:$PATH:$HOME/go/bin"
export UV_PROJECT_ENVIRONMENT="$PROJECT/.venv"
export UV_PYTHON_DOWNLOADS=never # the machine's Python is the one that is tested
export UV_LINK_MODE=copy
# Every command, server and worker is a process of its own: without compiled files each compiles 1,400 modules anew,
# which is half of its start.
unset PYTHONDONTWRITEBYTECODE

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
