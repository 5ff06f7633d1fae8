# Sets up the Python environment of the scripts beside this folder: .venv in the checkout.
# Source it, then call prepare_environment.

project_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
project_python="$project_root/.venv/bin/python"
# No script runs what lies in the current directory, such as a `json.py` beside photos.
export PYTHONSAFEPATH=1
# The package `tools` is not installed.
export PYTHONPATH="$project_root/scripts${PYTHONPATH:+:$PYTHONPATH}"

say() { printf '[tritonpose] %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# prepare_environment EXTRAS - installs the project with these extras, unless that was done before.
prepare_environment() {
  local extras=$1 wanted stamp
  command -v npm >/dev/null || extras+=",npm"
  mkdir -p "$project_root/.venv"
  exec 9>"$project_root/.venv/.lock"
  flock --nonblock 9 || { say "waiting for another script that sets up .venv"; flock 9; }
  wanted=$(printf '%s\n' "$project_root" "$extras" \
    | cat - "$project_root/pyproject.toml" "$project_root/constraints.txt" | sha256sum)
  stamp="$project_root/.venv/.installed-${extras//,/-}"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || ! "$project_python" -c '' 2>/dev/null; then
    make_venv
    say "installing Python packages (a minute or two, once)"
    install_packages "$extras"
    ensure_libraries
    printf '%s\n' "$wanted" >"$stamp"
  fi
  exec 9>&-
}

make_venv() {
  if "$project_python" -m pip --version >/dev/null 2>&1; then return; fi
  local python
  python=$(find_python) || fail "Python 3.11 or 3.12 is needed, for there is no numpy for newer ones that \
Triton can read; found: $(python3 --version 2>&1 || true). uv fetches one beside it: python3 -m venv ~/uv; \
~/uv/bin/pip install uv; ~/uv/bin/uv python install 3.12; PYTHON=\$(~/uv/bin/uv python find 3.12) $0"
  say "making the Python environment $project_root/.venv with $("$python" --version)"
  if ! "$python" -m venv "$project_root/.venv" >/dev/null 2>&1; then
    local package
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    as_root_install "$package" && "$python" -m venv "$project_root/.venv" \
      || fail "Python's venv module is incomplete; run: apt-get install $package"
  fi
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3.12 python3}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
      2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

install_packages() {
  local log
  log=$(mktemp)
  # Downloads are shown as they come; everything else only when something fails.
  if ! "$project_python" -m pip install --disable-pip-version-check --progress-bar off --no-compile \
    --constraint "$project_root/constraints.txt" --editable "$project_root[$1]" 2>&1 \
    | tee "$log" | sed -un 's|^ *\(Downloading .* MB)\).*|  \1|p' >&2; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "installing Python packages failed; see above"
  fi
  rm -f "$log"
  # pip would compile with one core. Some packages have templates that are no Python.
  "$project_python" -m compileall -q -j 0 "$project_root/.venv/lib" >/dev/null 2>&1 || true
}

# Triton's Python backend links to libpython3.X.so, paddlepaddle to libgomp.so.1; Debian keeps both
# apart from Python, and a minimal machine has neither.
ensure_libraries() {
  local version probe
  version=$("$project_python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  probe='from tritonpose_server.embedded.installation import find_libpython_directory as f; f()'
  if ! "$project_python" -c "$probe" 2>/dev/null; then
    fetch_library "libpython$version" "libpython$version.so.1.0"
    "$project_python" -c "$probe" 2>/dev/null \
      || fail "$("$project_python" -c "$probe" 2>&1 | tail -n 1 | sed 's/^[^:]*: //')"
  fi
  # Only the conversion of Paddle models needs it, which says so itself where it is missing.
  "$project_python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null \
    || fetch_library libgomp1 libgomp.so.1
}

# fetch_library PACKAGE FILE - installs a Debian package, or without root unpacks its library.
fetch_library() {
  local work
  say "fetching $1"
  as_root_install "$1" && return
  work=$(mktemp -d)
  (cd "$work" && apt-get download -qq "$1" && dpkg -x ./*.deb . \
    && find . -name "$2*" -exec cp -P {} "$project_root/.venv/lib/" \;) >/dev/null 2>&1 || true
  rm -rf "$work"
}

as_root_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  apt-get install -y -qq "$1" >/dev/null 2>&1 \
    || { apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq "$1" >/dev/null 2>&1; }
}
