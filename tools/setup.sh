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
    packages="$packages $package"
}
has_onednn() {
    [ -e /usr/include/dnnl.h ] || [ -e /usr/local/include/dnnl.h ]
}

need cc build-essential command -v cc
need c++ build-essential command -v c++
need make build-essential command -v make
need cmake cmake command -v cmake
need ninja ninja-build command -v ninja
need pkg-config pkg-config command -v pkg-config
need python3 python3 command -v python3
need xz xz-utils command -v xz
need zstd zstd command -v zstd
for pair in jansson:libjansson-dev libutf8proc:libutf8proc-dev libpcre2-8:libpcre2-dev yaml-0.1:libyaml-dev \
    libzstd:libzstd-dev zlib:zlib1g-dev libxxhash:libxxhash-dev; do
    need "${pair%%:*}" "${pair#*:}" pkg-config --exists "${pair%%:*}"
done
optional=""  # oneDNN: faster matrix products on some machines. Asked for once, before the first build.
has_onednn || [ -d "$(dirname "$0")/../build" ] || optional=libdnnl-dev
[ -z "$missing" ] && [ -z "$optional" ] && exit 0

stop() {
    if [ -z "$missing" ]; then  # everything required is there
        echo "setup: going on without oneDNN ($1)"
        exit 0
    fi
    echo "setup: missing:$missing"
    echo "setup: $1"
    echo "setup: Debian, Ubuntu:  apt-get install$packages $optional"
    echo "setup: elsewhere: a C11 compiler, cmake >= 3.24, ninja, pkg-config, python3, and the development files of"
    echo "setup:            jansson, utf8proc, pcre2, libyaml, zstd, zlib, xxhash, and oneDNN if there is one"
    exit 1
}

command -v apt-get >/dev/null || stop "this system has no apt-get; please install them its own way, then run make again"
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || stop "not root and no sudo; please have this run as root, then run make again"
    as_root=sudo
    # Ask for a password only where somebody can type one.
    [ -t 0 ] || sudo -n true 2>/dev/null || stop "sudo wants a password and there is no terminal; please run this yourself"
fi

apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=2 "$@"
}
echo "setup: installing$packages $optional"
apt update || stop "apt-get update failed: is there a network?"
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086 # a list
    apt install -y --no-install-recommends $packages || stop "apt-get install failed, see above"
fi
if [ -n "$optional" ]; then
    apt install -y --no-install-recommends $optional || { missing=""; stop "this release has no $optional"; }
fi
