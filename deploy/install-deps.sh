#!/bin/sh
# Installs the Debian 12 packages that visavis needs and that are not there yet.
#
#   deploy/install-deps.sh [run|test]     run: to build and to fetch the models; test (default): and what the tests need
#
# Says what it does. Nothing missing: does nothing, needs no network and no root. Otherwise root or sudo.
set -eu

run="gcc libc6-dev make pkg-config python3 python3-pip
 libmicrohttpd-dev libjansson-dev libsqlite3-dev libzip-dev
 libjpeg62-turbo-dev libspng-dev libwebp-dev libcairo2-dev
 nettle-dev zlib1g-dev libopenblas-openmp-dev libdnnl-dev"
test="git curl libcmocka-dev python3-yaml python3-jsonschema chromium"

case "${1:-test}" in
run) wanted=$run ;;
test) wanted="$run $test" ;;
*)
    echo "usage: deploy/install-deps.sh [run|test]" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: this is not Debian. The build will want the equivalents of: $wanted" >&2
    exit 0
fi

missing=
for p in $wanted; do
    case "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" in
    installed*) ;;
    *) missing="$missing $p" ;;
    esac
done
[ -n "$missing" ] || exit 0

echo "deps: installing$missing"
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "deps: that needs root, and there is no sudo here. As root: apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
# A stale package list is still worth trying: the packages may be in the local cache.
$as_root apt-get -qq update || echo "deps: apt-get update failed; trying with the package lists that are here" >&2
# shellcheck disable=SC2086 # words on purpose
$as_root apt-get -qq install -y --no-install-recommends -o Dpkg::Use-Pty=0 $missing
echo "deps: done"
