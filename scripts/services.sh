#!/bin/sh
# Installs the real servers that the tests run against. As root on Debian it installs what is missing;
# elsewhere it says in one sentence what is missing and leaves: the tests that need it then skip with that reason.
set -eu

missing=""
need() { # program package
    if command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; then return; fi
    if ls /usr/lib/postgresql/*/bin/"$1" >/dev/null 2>&1; then return; fi
    missing="$missing $2"
}
need mosquitto mosquitto
need influxd influxdb
need victoria-metrics victoria-metrics
need postgres postgresql
need chromium chromium
need strace strace

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # the packages must not start servers of their own: the tests start what they need, where they need it
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Not installed:$missing. The tests that need them will be skipped; install them, or run make test as root on Debian." >&2
fi
