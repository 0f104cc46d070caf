#!/usr/bin/env bash
# Makes .venv from the lock (hashes checked), and installs Debian packages only if something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

apt_install() {
  say "installing Debian packages: $*"
  local sudo=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "not root and no sudo: please run  apt-get install $*" >&2; exit 1; }
    sudo=sudo
  fi
  # The tests start every server themselves: packages that bring one must not start it on this machine.
  local policy=/usr/sbin/policy-rc.d made=no
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null; $sudo chmod 755 "$policy"; made=yes; }
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  [ $made = no ] || $sudo rm -f "$policy"
}

python_ok() {
  "${PY:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
  python_ok || apt_install python3
  "${PY:-python3}" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
  if [ ! -x .venv/bin/python ]; then
    say "making .venv"
    "${PY:-python3}" -m venv .venv
  fi
  say "installing the locked packages (hashes checked)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
}

# command that must exist → Debian package that brings it
system_packages() {
  local missing=()
  while read -r command package; do
    command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || missing+=("$package")
  done <<'LIST'
mosquitto mosquitto
mosquitto_pub mosquitto-clients
mbpoll mbpoll
socat socat
chromium chromium
gcc gcc
influxd influxdb
victoria-metrics victoria-metrics
prometheus-alertmanager prometheus-alertmanager
ffprobe ffmpeg
gst-launch-1.0 gstreamer1.0-tools
pdftotext poppler-utils
LIST
  [ -e /usr/include/modbus/modbus.h ] || missing+=(libmodbus-dev)
  ls /usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib >/dev/null 2>&1 || missing+=(gir1.2-gst-rtsp-server-1.0 \
    python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly)
  [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
  fc-list 2>/dev/null | grep -qi 'cjk' || missing+=(fonts-noto-cjk fontconfig)
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

case "${1:-venv}" in
  venv) make_venv ;;
  system) system_packages ;;
  *) echo "usage: bootstrap.sh venv|system" >&2; exit 2 ;;
esac
