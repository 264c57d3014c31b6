#!/bin/sh
# Tests the built wheel as a stranger gets it: in an environment of its own, away from the sources.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
venv=${VENV:-.venv}
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
wheel=$(ls "$root"/dist/*.whl)

"$venv/bin/python" -m venv "$room/venv"
"$room/venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt pip
"$room/venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt \
    "$wheel[stack,postgres]" --group pyproject.toml:dev
# Only the tests go along, and what they read beside the code; the packages come from the wheel.
mkdir "$room/copy"
cp -r tests docs bench pyproject.toml README.md CHANGELOG.md "$room/copy/" # what is measured comes from the wheel, too
cp -r typings "$room/copy/" # the interfaces of the device, which no name of a node's build may touch
for page in */README.md simulators/*/README.md; do # the packages' first pages, which the tests hold against the code
    mkdir -p "$room/copy/$(dirname "$page")"
    cp "$page" "$room/copy/$page"
done
# the official schema of AsyncAPI comes with the web client's packages
mkdir -p "$room/copy/node_modules/@asyncapi"
cp -r dashboard_api/web/node_modules/@asyncapi/specs "$room/copy/node_modules/@asyncapi/"
cd "$room/copy"
RESIK_TEST_WHEEL=1 RESIK_REFERENCE_DATA="${RESIK_REFERENCE_DATA:-$root/../shared/data}" \
    "$room/venv/bin/python" -m pytest -q -p no:cacheprovider tests/unit tests/contract tests/e2e/test_demo.py "$@"
