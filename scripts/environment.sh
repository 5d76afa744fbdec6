# Sourced by scripts/quickstart and scripts/test: makes (or brings up to date) the virtual environment in .venv
# and defines `run`, which starts a program of it.   set_up [EXTRA]
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=$(realpath -m "${BOLTZGEN_VENV:-$root/.venv}")

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "boltzgen needs Python 3.11 or newer; install one, or name it: PYTHON=/path/to/python $0" >&2
  return 1
}

set_up() {
  local extra=${1:-} stamp wanted python
  wanted=$(cat "$root/pyproject.toml" "$root/scripts/constraints.txt" | cksum)
  stamp=$environment/.boltzgen-${extra:-run}
  if [ -x "$environment/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  if ! "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making a virtual environment in $environment with $("$python" --version) ..." >&2
    if ! "$python" -m venv --clear "$environment"; then
      echo "Python's venv module does not work here; on Debian and Ubuntu: apt install python3-venv" >&2
      return 1
    fi
  fi
  echo "Installing boltzgen and what it needs (the first time some minutes, and up to a few GB) ..." >&2
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$root/scripts/constraints.txt" torch
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$root/scripts/constraints.txt" --editable "$root${extra:+[$extra]}"
  echo "$wanted" >"$stamp"
}

run() {
  local program=$1
  shift
  "$environment/bin/$program" "$@"
}
