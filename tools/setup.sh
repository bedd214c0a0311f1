#!/bin/sh
# setup - make sure this machine can build Fledge. Debian 12, Ubuntu 24.04 and their relatives: what is missing is
# installed with apt. Elsewhere: says what is missing. Does nothing, and asks for nothing, when all is there.
set -u

missing="" packages=""
need() {  # need NAME PACKAGE CHECK...: NAME is missing unless CHECK succeeds
    name=$1 package=$2
    shift 2
    "$@" >/dev/null 2>&1 && return
    missing="$missing $name"
    case "$packages " in
    *" $package "*) ;;
    *) packages="$packages $package" ;;
    esac
}

for tool in cc c++ make; do
    need $tool build-essential command -v $tool
done
for pair in cmake:cmake ninja:ninja-build pkg-config:pkg-config python3:python3 xz:xz-utils zstd:zstd; do
    need "${pair%%:*}" "${pair#*:}" command -v "${pair%%:*}"
done
for pair in jansson:libjansson-dev libutf8proc:libutf8proc-dev libpcre2-8:libpcre2-dev yaml-0.1:libyaml-dev \
    libzstd:libzstd-dev zlib:zlib1g-dev libxxhash:libxxhash-dev libcurl:libcurl4-openssl-dev libedit:libedit-dev; do
    need "${pair%%:*}" "${pair#*:}" pkg-config --exists "${pair%%:*}"
done
[ -z "$missing" ] && exit 0

stop() {
    echo "setup: missing:$missing"
    echo "setup: $1"
    echo "setup: Debian, Ubuntu:  apt-get install$packages"
    echo "setup: elsewhere: a C11 compiler, cmake >= 3.24, ninja, pkg-config, python3, xz, zstd, and the development"
    echo "setup:            files of jansson, utf8proc, pcre2, libyaml, zstd, zlib, xxhash, curl, edit"
    exit 1
} >&2

command -v apt-get >/dev/null || stop "this system has no apt-get; please install them its own way, then run make again"
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || stop "not root and no sudo; please have them installed by root, then run make again"
    as_root=sudo
    # A password can be asked for only where somebody can type one.
    [ -t 0 ] || sudo -n true 2>/dev/null || stop "sudo wants a password and there is no terminal; please install them, then run make again"
fi

apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=2 "$@"
}
echo "setup: installing$packages"
apt update || stop "apt-get update failed: is there a network?"
# shellcheck disable=SC2086 # a list
apt install -y --no-install-recommends $packages || stop "apt-get install failed, see above: is there a network?"
