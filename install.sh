#!/bin/sh
# Installs coracle: fetches a release, verifies its checksum and signature, and puts the executable, its manual pages and
# its completions in place. POSIX sh.
#
#   install.sh [--version V] [--dir DIR] [--from-source] [--checksum-only] [--releases URL] [--key HEX]
#   install.sh uninstall [--dir DIR]
set -eu

usage() {
  cat <<'END'
usage: install.sh [options]            install or update coracle
       install.sh uninstall [options]  remove what was installed; clusters stay (see: coracle delete --all)

  --version V       install this version (default: the latest)
  --dir DIR         where the executable goes (default: /usr/local/bin as root, else ~/.local/bin)
  --from-source     build from the source tree that this script is in (needs Rust)
  --checksum-only   install although no tool here can verify the signature; the checksum is verified in any case
  --releases URL    where releases are (default: $CORACLE_RELEASES)
  --key HEX         the Ed25519 public key of releases (default: $CORACLE_RELEASE_KEY)
END
}

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; [ $# -lt 2 ] || { say ""; say "hint: $2"; }; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
value() { [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value" "install.sh --help"; }

action=install
version=
directory=
source=no
checksum_only=no
# A release puts its own place and key here.
releases=${CORACLE_RELEASES:-}
key=${CORACLE_RELEASE_KEY:-}

while [ $# -gt 0 ]; do
  case $1 in
    uninstall) action=uninstall ;;
    --version) value "$@"; version=$2; shift ;;
    --version=*) version=${1#*=} ;;
    --dir) value "$@"; directory=$2; shift ;;
    --dir=*) directory=${1#*=} ;;
    --releases) value "$@"; releases=$2; shift ;;
    --releases=*) releases=${1#*=} ;;
    --key) value "$@"; key=$2; shift ;;
    --key=*) key=${1#*=} ;;
    --from-source) source=yes ;;
    --checksum-only) checksum_only=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option: $1" ;;
  esac
  shift
done

if [ -z "$directory" ]; then
  if [ "$(id -u)" = 0 ]; then directory=/usr/local/bin; else directory=$HOME/.local/bin; fi
fi
# Beside a `bin` there is a `share`; elsewhere only the executable is installed.
share=
case $directory in */bin) share=${directory%/bin}/share ;; esac

shared_files() {
  [ -n "$share" ] || return 0
  for page in "$share"/man/man1/coracle.1 "$share"/man/man1/coracle-*.1; do [ ! -f "$page" ] || echo "$page"; done
  for file in bash-completion/completions/coracle zsh/site-functions/_coracle fish/vendor_completions.d/coracle.fish; do
    [ ! -f "$share/$file" ] || echo "$share/$file"
  done
}

if [ "$action" = uninstall ]; then
  [ -f "$directory/coracle" ] || fail "there is no $directory/coracle" "install.sh uninstall --dir DIR"
  shared_files | while IFS= read -r file; do rm -f "$file"; done
  rm -f "$directory/coracle" "$directory/.coracle.previous"
  say "coracle is removed from $directory; clusters and ~/.coracle were left alone"
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

fetch() { # URL FILE
  if has curl; then
    curl -fsSL --retry 2 -o "$2" "$1"
  elif has wget; then
    wget -q -O "$2" "$1"
  else
    fail "neither curl nor wget is here"
  fi
}

sha256() { # FILE
  if has sha256sum; then
    sha256sum "$1" | cut -d' ' -f1
  elif has shasum; then
    shasum -a 256 "$1" | cut -d' ' -f1
  elif has openssl; then
    openssl dgst -sha256 -r "$1" | cut -d' ' -f1
  else
    fail "no tool for SHA-256 is here (sha256sum, shasum or openssl)"
  fi
}

# Bytes of hexadecimal digits, with nothing but POSIX printf.
unhex() { # HEX
  rest=$1
  while [ -n "$rest" ]; do
    pair=${rest%"${rest#??}"}
    rest=${rest#??}
    # shellcheck disable=SC2059
    printf "\\$(printf '%03o' "0x$pair")"
  done
}

target() {
  system=$(uname -s)
  machine=$(uname -m)
  [ "$system" = Linux ] || fail "there is no release for $system" "install.sh --from-source"
  case $machine in
    x86_64 | amd64) echo x86_64-unknown-linux-gnu ;;
    aarch64 | arm64) echo aarch64-unknown-linux-gnu ;;
    *) fail "there is no release for $machine" "install.sh --from-source" ;;
  esac
}

# 0: good; 1: bad; 2: this tool cannot.
verify_openssl() {
  has openssl && fetch "$place/SHA256SUMS.sig" "$work/SHA256SUMS.sig" 2>/dev/null || return 2
  # A public key in DER is this head (RFC 8410) and the 32 bytes.
  unhex "302a300506032b6570032100$key" >"$work/key.der"
  openssl pkey -pubin -inform DER -in "$work/key.der" -out "$work/key.pem" 2>/dev/null || return 2
  openssl pkeyutl -help 2>&1 | grep -q -e -rawin || return 2
  openssl pkeyutl -verify -pubin -inkey "$work/key.pem" -rawin -in "$work/SHA256SUMS" -sigfile "$work/SHA256SUMS.sig" >/dev/null 2>&1
}

verify_ssh() {
  has ssh-keygen && has base64 && fetch "$place/SHA256SUMS.sshsig" "$work/SHA256SUMS.sshsig" 2>/dev/null || return 2
  public=$(unhex "0000000b7373682d6564323535313900000020$key" | base64 | tr -d '\n')
  echo "coracle ssh-ed25519 $public" >"$work/signers"
  ssh-keygen -Y verify -f "$work/signers" -I coracle -n coracle -s "$work/SHA256SUMS.sshsig" <"$work/SHA256SUMS" >/dev/null 2>&1
}

verify_signature() {
  case $key in
    '') fail "this script does not know the key of releases, so it cannot tell whose they are" "install.sh --key HEX" ;;
    *[!0-9a-fA-F]*) fail "the key is not hexadecimal" ;;
  esac
  [ ${#key} -eq 64 ] || fail "the key has not 64 digits"
  for tool in openssl ssh; do
    code=0
    "verify_$tool" || code=$?
    case $code in
      0) say "signature verified ($tool)"; return 0 ;;
      1 | 255) fail "the signature of the release is WRONG: nothing was installed" ;;
    esac
  done
  [ "$checksum_only" = yes ] || fail "no tool here can verify the signature: openssl 3 or ssh-keygen 8.1 is needed, and the release's signature" "install.sh --checksum-only"
  say "warning: the signature was NOT verified: there is no tool for it here"
}

download() {
  [ -n "$releases" ] || fail "where are releases? none is built in" "install.sh --releases URL, or --from-source"
  releases=${releases%/}
  name=coracle-$(target).tar.gz
  if [ -z "$version" ]; then
    fetch "$releases/latest/download/VERSION" "$work/VERSION" || fail "cannot fetch $releases/latest/download/VERSION"
    version=$(tr -d ' \r\n' <"$work/VERSION")
  fi
  version=v${version#v}
  case $version in *[!A-Za-z0-9.+-]*) fail "\`$version\` is no version" ;; esac
  place=$releases/download/$version
  fetch "$place/SHA256SUMS" "$work/SHA256SUMS" || fail "there is no release $version at $releases"
  verify_signature
  wanted=$(sed -n "s/^\([0-9a-f]\{64\}\)  *\*\{0,1\}$name\$/\1/p" "$work/SHA256SUMS")
  [ -n "$wanted" ] || fail "release $version has nothing for this machine ($name)" "install.sh --from-source"
  say "fetching coracle $version"
  fetch "$place/$name" "$work/$name" || fail "cannot fetch $place/$name"
  [ "$(sha256 "$work/$name")" = "$wanted" ] || fail "the checksum of $name is WRONG: nothing was installed"
  mkdir "$work/new"
  tar -xzf "$work/$name" -C "$work/new"
}

build() {
  tree=$(cd "$(dirname "$0")" && pwd)
  [ -f "$tree/Cargo.toml" ] || fail "there is no source tree around this script" "git clone the source, and run its install.sh"
  has cargo || fail "cargo is not here" "install Rust: https://rustup.rs"
  mkdir -p "$work/new/man" "$work/new/completions"
  built=${CORACLE_BUILT:-}
  if [ -z "$built" ]; then
    (cd "$tree" && cargo build --release --bin coracle)
    host=$(rustc -vV | sed -n 's/^host: //p')
    built=${CARGO_TARGET_DIR:-$tree/target}/$host/release/coracle
  fi
  cp "$built" "$work/new/coracle"
  "$work/new/coracle" man --dir "$work/new/man"
  for shell in bash zsh fish; do "$work/new/coracle" completion "$shell" >"$work/new/completions/coracle.$shell"; done
}

if [ "$source" = yes ]; then build; else download; fi
chmod 755 "$work/new/coracle"
runs=$("$work/new/coracle" version --short) || fail "the new executable does not run here; nothing was installed"
if [ "$source" != yes ] && [ "v${runs#v}" != "$version" ]; then
  fail "the release $version holds coracle ${runs#v}, which is another one: nothing was installed"
fi
mkdir -p "$directory" || fail "cannot make $directory" "install.sh --dir DIR"
[ -w "$directory" ] || fail "cannot write to $directory" "sudo install.sh, or install.sh --dir ~/.local/bin"
# Renamed into place, so that there is a whole executable at every moment, and one that runs is not written to.
cp "$work/new/coracle" "$directory/.coracle.new"
chmod 755 "$directory/.coracle.new"
mv -f "$directory/.coracle.new" "$directory/coracle"
if [ -n "$share" ] && mkdir -p "$share/man/man1" 2>/dev/null; then
  cp "$work/new/man/"*.1 "$share/man/man1/"
  for place in bash-completion/completions/coracle:bash zsh/site-functions/_coracle:zsh fish/vendor_completions.d/coracle.fish:fish; do
    file=$share/${place%:*}
    mkdir -p "$(dirname "$file")"
    cp "$work/new/completions/coracle.${place##*:}" "$file"
  done
fi
say "coracle $("$directory/coracle" version --short) is in $directory"
case :$PATH: in *:"$directory":*) ;; *) say "hint: add $directory to PATH" ;; esac
