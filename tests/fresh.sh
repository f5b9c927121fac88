#!/usr/bin/env bash
# Proves the README's two commands on a Debian 12 that has nothing: make test-fresh
#
#   1. debootstrap (minbase bookworm) under build/fresh, with this machine's configuration of apt and pip and its CA certificates
#   2. git and make, as the README says; a clone of HEAD (only what is committed) with ../shared beside it, read-only
#   3. make run, until GET /health/ready answers; then the README's own curl line on two photographs
#   4. make test
#   5. 3 and 4 again with no network at all but loopback
#
# Needs root and debootstrap. Everything runs in namespaces of its own, so that mounts and processes end with this script.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
base=$top/build/fresh
root=$base/root
STARTUP_S=1500 # packages, build and models; a second start takes seconds

say() { printf '\n== fresh: %s\n' "$*"; }
die() {
    printf 'fresh: %s\n' "$*" >&2
    exit 1
}

if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" -eq 0 ] || die "needs root, for chroot and mount"
    command -v debootstrap >/dev/null || die "debootstrap is missing (Debian package debootstrap)"
    [ -z "$(git status --porcelain)" ] || echo "fresh: there are changes that are not committed; they are not in the clone"
    exec unshare --mount --pid --fork --kill-child --mount-proc "$0" --inside
fi

# --- 1: the system -------------------------------------------------------------------------------------------------
say "debootstrap, minbase bookworm, in build/fresh/root"
rm -rf --one-file-system "$root"
mkdir -p "$root"
host_codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
mirror=
if [ "$host_codename" = bookworm ]; then # the mirror that this machine's apt uses for Debian itself
    mirror=$(sed -nE 's/^(URIs: *|deb (\[[^]]*\] )?)([a-z]+:[^ ]*\/debian\/?)( .*)?$/\3/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1) || true
fi
# shellcheck disable=SC2086 # no mirror: debootstrap's own
debootstrap --variant=minbase bookworm "$root" $mirror >"$base/debootstrap.log" 2>&1 ||
    { tail -n 20 "$base/debootstrap.log" >&2; die "debootstrap failed"; }

# The package clients' configuration of this machine: proxies, mirrors, certificates. Nothing that installs anything.
carry() {
    local f
    for f in "$@"; do
        [ -e "$f" ] || continue
        mkdir -p "$root$(dirname "$f")"
        cp -aLT "$f" "$root$f"
    done
}
carry /etc/apt/apt.conf /etc/apt/apt.conf.d /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/pip.conf /etc/resolv.conf /etc/hosts \
    /usr/local/share/ca-certificates /etc/ssl/certs/ca-certificates.crt "${PIP_CONFIG_FILE:-}" "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" \
    "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"
if [ "$host_codename" = bookworm ]; then
    rm -f "$root/etc/apt/sources.list"
    carry /etc/apt/sources.list /etc/apt/sources.list.d /usr/share/keyrings /etc/apt/keyrings /etc/apt/trusted.gpg.d
fi
for d in ${PIP_FIND_LINKS:-}; do [ ! -d "$d" ] || carry "$d"; done
[ "$HOME" = /root ] || ! [ -d "$root$HOME" ] || cp -a "$root$HOME/." "$root/root/"
vars=(HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
while IFS= read -r v; do vars+=("$v"); done < <(env |
    grep -E '^(PIP_[A-Z_]+|[a-zA-Z]+_(proxy|PROXY)|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)=')

mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
inside() { chroot "$root" env -i "${vars[@]}" "$@"; }
in_clone() { inside sh -c 'cd /src/visavis && exec "$@"' sh "$@"; }

# --- 2: the clone ----------------------------------------------------------------------------------------------------
say "git and make, then the clone"
inside apt-get -qq update
inside env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends -o Dpkg::Use-Pty=0 git make >/dev/null
mkdir -p "$root/src"
git clone -q --bare "file://$(git rev-parse --path-format=absolute --git-common-dir)" "$root/src/origin.git"
inside git clone -q /src/origin.git /src/visavis
inside git -C /src/visavis checkout -q --detach "$(git rev-parse HEAD)"
photos=()
if [ -d ../shared ]; then
    mkdir "$root/src/shared"
    mount --bind -o ro "$(cd ../shared && pwd)" "$root/src/shared"
    photos=(../shared/data/faces/cast/{amy,penny}/*)
fi
echo "commit $(inside git -C /src/visavis rev-parse --short HEAD), ../shared $([ -d "$root/src/shared" ] && echo there || echo absent)"

# --- 3, 4: the two commands ----------------------------------------------------------------------------------------------
# A port of its own while the network is this machine's, where 8080 may be taken; the default one in a network of its own.
serve_and_ask() { # listen address or empty
    local listen=$1 pid waited=0 url answer curl_line
    url=http://${listen:-127.0.0.1:8080}
    set -m # a process group of its own, to end make and the server together
    in_clone env ${listen:+VISAVIS_LISTEN="$listen"} make run &
    pid=$!
    set +m
    until curl -fsS -m 5 "$url/health/ready" >/dev/null 2>&1; do
        kill -0 $pid 2>/dev/null || die "make run ended before it was ready"
        [ $((waited += 1)) -le $STARTUP_S ] || die "make run: not ready after $STARTUP_S s"
        sleep 1
    done
    echo "make run: ready after $waited s"
    if [ "${#photos[@]}" -ge 2 ]; then
        curl_line=$(grep -m 1 -E '^curl .*/v1/verify' README.md) || die "README.md has no curl line that verifies"
        curl_line=${curl_line//http:\/\/127.0.0.1:8080/$url}
        curl_line=${curl_line//@a.jpg/@${photos[0]}}
        curl_line=${curl_line//@b.jpg/@${photos[1]}}
        echo "$curl_line"
        answer=$(eval "${curl_line/#curl/curl -sS}")
        echo "$answer"
        [[ $answer == *'"verified"'*true* ]] || die "the README's curl did not verify two photographs of one person"
    fi
    kill -TERM -- -$pid
    wait $pid || true
}
run_tests() {
    in_clone make test 2>&1 | tee "$base/test.log" | grep --line-buffered -vE '^  (CC|AR|LD) ' || true
    tail -n 1 "$base/test.log" | grep -qE '^[1-9][0-9]* passed, 0 failed, [0-9]+ skipped$' || die "make test did not pass"
}

say "make run, first time"
serve_and_ask 127.0.0.1:18080
say "make test, first time"
run_tests
say "the same without network"
unshare --net bash -euo pipefail -c "
    ip link set lo up
    $(declare -p vars photos root base STARTUP_S)
    $(declare -f serve_and_ask run_tests inside in_clone die)
    serve_and_ask ''
    run_tests"
say "proved: make run and make test, as root on a bare Debian 12, from a clone of $(git rev-parse --short HEAD), and again offline"
