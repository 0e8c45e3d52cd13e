#!/usr/bin/env bash
# Makes .venv beside this file: Python 3.11 and what watermark.py needs. Does nothing when it is up to date.
set -euo pipefail
cd "$(dirname "$0")"

stamp=.venv/.set-up
want=$(cat setup.sh requirements.txt | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && .venv/bin/python -c '' 2>/dev/null; then
  exit 0
fi

# Each candidate is run, not only found: a pyenv shim named python3.11 may exist and fail.
find_python() {
  local candidate
  for candidate in "${PEERS_PYTHON:-}" python3.11 python3 python "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11*/bin/python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  if command -v uv >/dev/null && uv python install 3.11 >&2; then
    uv python find 3.11
    return
  fi
  echo "No Python 3.11 with venv found: install one (python3.11 and python3.11-venv, pyenv or uv), or name it: PEERS_PYTHON=/path/to/python3.11 $0" >&2
  return 1
}

python=$(find_python)
echo "Setting up benchmarks/peers/.venv with $python (some minutes, once; up to 6 GB where torch comes with CUDA)"
rm -rf .venv
"$python" -m venv .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check --require-virtualenv -r requirements.txt
.venv/bin/python -m pip check
echo "$want" > "$stamp"
