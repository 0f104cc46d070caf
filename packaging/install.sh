#!/bin/sh
# Installs or updates a gateway on Raspberry Pi OS, Debian or a Jetson with a Python of 3.11 or newer.
#   sudo packaging/install.sh [--wheels FOLDER] [--python PYTHON] [--page]
# Site file, keys and PINs of /etc/tocsin are taken into /var/lib/tocsin once; the journal stays as it is. Safe to run again; `--page` adds the local page.
# The Debian package runs this file, too, as its postinst does: /opt/tocsin/share/install.sh --from-package.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
wheels="" python=python3 page=no root=""
while [ $# -gt 0 ]; do
  case "$1" in
    --wheels) wheels=$2; shift 2 ;;
    --python) python=$2; shift 2 ;;
    --page) page=yes; shift ;;
    --from-package) shift ;;
    --root) root=$2; shift 2 ;;   # for tests: everything below this folder, and nothing is started
    *) echo "usage: install.sh [--wheels FOLDER] [--python PYTHON] [--page]" >&2; exit 2 ;;
  esac
done

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "tocsin needs Python 3.11 or newer; name one with --python (on a Jetson: a Python of its own, JetPack's is older)" >&2
  exit 1; }

if [ -z "$root" ]; then
  [ "$(id -u)" = 0 ] || { echo "run it with sudo" >&2; exit 1; }
  getent group tocsin >/dev/null || groupadd --system tocsin
  getent passwd tocsin >/dev/null ||
    useradd --system --gid tocsin --home-dir /var/lib/tocsin --shell /usr/sbin/nologin tocsin
  if getent group dialout >/dev/null; then usermod -a -G dialout tocsin; fi
fi

install -d "$root/opt/tocsin" "$root/etc/systemd/system"
install -d -m 0750 "$root/etc/tocsin"
install -d -m 0700 "$root/var/lib/tocsin"
[ -n "$root" ] || { chown root:tocsin /etc/tocsin; chown tocsin:tocsin /var/lib/tocsin; }

lock=$here/requirements.lock   # the part of the whole lock that a gateway needs
[ -f "$lock" ] || lock=$here/../requirements.lock
wheel=$(ls "$here"/tocsin-*.whl 2>/dev/null | tail -n 1 || true)
[ -n "$wheel" ] || { echo "no tocsin-*.whl beside this script: make one with \`make deb\` or \`make wheel\`" >&2; exit 1; }
if [ -z "$root" ]; then
  [ -x /opt/tocsin/bin/python ] || "$python" -m venv /opt/tocsin
  from=""
  [ -z "$wheels" ] || from="--no-index --find-links $wheels"
  # Every file is checked against the hashes of the lock; then ours, without asking anybody for anything more.
  # shellcheck disable=SC2086
  /opt/tocsin/bin/python -m pip install --quiet --no-input --require-hashes $from -r "$lock"
  /opt/tocsin/bin/python -m pip install --quiet --no-input --no-deps --no-index --force-reinstall "$wheel"
  /opt/tocsin/bin/python -m compileall -q /opt/tocsin/lib || true   # a read-only root compiles nothing later
fi

install -m 0644 "$here/tocsin-gateway.service" "$root/etc/systemd/system/"
install -m 0644 "$here/tocsin-gateway.path" "$root/etc/systemd/system/"
install -m 0644 "$here/tocsin-page.service" "$root/etc/systemd/system/"
install -m 0644 "$here/tocsin-vision.service" "$root/etc/systemd/system/"   # enabled by hand where there are cameras
install -d "$root/etc/systemd/journald.conf.d"
install -m 0644 "$here/journald-tocsin.conf" "$root/etc/systemd/journald.conf.d/tocsin.conf"
[ -e "$root/etc/tocsin/site.yaml" ] ||
  install -m 0640 "$here/site-example.yaml" "$root/etc/tocsin/site-example.yaml"

[ -z "$root" ] || exit 0
systemctl daemon-reload
systemctl enable --quiet tocsin-gateway tocsin-gateway.path
systemctl restart tocsin-gateway.path
# What runs is in /var/lib/tocsin; site file, keys and PINs of /etc/tocsin are taken there, each once.
runuser -u tocsin -- /opt/tocsin/bin/tocsin gateway settle --first /etc/tocsin --state /var/lib/tocsin ||
  echo "see above: what was not taken from /etc/tocsin" >&2
/opt/tocsin/bin/tocsin gateway settle --first /etc/tocsin --state /var/lib/tocsin --tidy
if [ -e /var/lib/tocsin/site.yaml ]; then
  runuser -u tocsin -- /opt/tocsin/bin/tocsin site check /var/lib/tocsin/site.yaml
  systemctl restart tocsin-gateway
  [ "$page" = no ] || { systemctl enable --quiet tocsin-page; systemctl restart tocsin-page; }
  echo "the gateway runs; see: tocsin doctor"
else
  [ "$page" = no ] || systemctl enable --quiet tocsin-page
  echo "claim it: sudo tocsin provision --folder /var/lib/tocsin --cloud https://… ; it starts by itself then"
  echo "or write /etc/tocsin/site.yaml (see site-example.yaml there), then: systemctl start tocsin-gateway"
fi
