"""Builds the wheel and the Debian package of the gateway from what git knows: `make deb`, `make wheel`.

    git archive ─► wheel (setuptools) ─┬─► packaging/tocsin-*.whl
                                       └─► + units, install.sh, lock, DEBIAN/* ─► dpkg-deb ─► tocsin-gateway_*_all.deb

The package holds no other people's code: `install.sh` fetches it by the hashes of the lock, or takes a folder
of wheels (`--wheels`) where there is no network. So one package serves x86-64 and aarch64.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from importlib import metadata
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARE = "opt/tocsin/share"
# The local page, and the installer's day on it: QR codes, tables, the acceptance report.
PAGE_NEEDS = ("fastapi", "jinja2", "uvicorn", "segno", "openpyxl", "reportlab")
FILES = ("install.sh", "tocsin-gateway.service", "tocsin-gateway.path", "tocsin-page.service",
         "tocsin-vision.service", "journald-tocsin.conf", "site-example.yaml")

CONTROL = """\
Package: tocsin-gateway
Version: {version}
Section: net
Priority: optional
Architecture: all
Maintainer: The Tocsin developers <maintainers@tocsin.invalid>
Depends: python3 (>= 3.11), python3-venv, adduser, systemd, tzdata
Recommends: chrony
Installed-Size: {kib}
Description: edge gateway for community, fire, safety and environment monitoring
 Reads detectors, meters and panels, judges them by rules, sounds and acts on
 site without a cloud, keeps what happened over cuts and kills, and sends it.
 Supplements approved fire alarm systems; is none itself.
"""
POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
  wheels=/opt/tocsin/wheels
  if [ -d "$wheels" ]; then /opt/tocsin/share/install.sh --from-package --wheels "$wheels"
  else /opt/tocsin/share/install.sh --from-package; fi
fi
"""
PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ]; then
  systemctl disable --now tocsin-vision tocsin-page tocsin-gateway.path tocsin-gateway 2>/dev/null || true
fi
"""
# The site file, keys and journal stay, also on purge: they are the site's, and nobody else has them.
POSTRM = """\
#!/bin/sh
set -e
if [ "$1" = remove ] || [ "$1" = purge ]; then
  rm -f /etc/systemd/system/tocsin-gateway.service /etc/systemd/system/tocsin-page.service
  rm -f /etc/systemd/system/tocsin-vision.service /etc/systemd/system/tocsin-gateway.path
  rm -rf /opt/tocsin/bin /opt/tocsin/lib /opt/tocsin/lib64 /opt/tocsin/include /opt/tocsin/pyvenv.cfg
  systemctl daemon-reload 2>/dev/null || true
fi
"""


def version() -> str:
    """As pyproject.toml says."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def gateway_lock() -> str:
    """The part of requirements.lock that a gateway and its page need, with its hashes: no numpy, no test tools."""
    from packaging.requirements import Requirement  # beside pytest; the package itself needs it not
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked: dict[str, str] = {}
    for block in re.split(r"(?m)^(?=[a-zA-Z0-9])", (ROOT / "requirements.lock").read_text(encoding="utf-8")):
        if found := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", block):
            locked[canonicalize_name(found[1])] = block
    needed: set[str] = set()
    wanted = [Requirement(text) for text in (*project["dependencies"], *PAGE_NEEDS)]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        extras = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
        if name in needed or name not in locked:
            continue
        needed.add(name)
        wanted += [dependency for text in (metadata.requires(name) or [])
                   if (dependency := Requirement(text)).marker is None
                   or any(dependency.marker.evaluate(environment) for environment in extras)]
    return "".join(locked[name] for name in sorted(needed))


def build_wheel(out: Path) -> Path:
    """The wheel of the committed tree, made in a folder of its own so that the working tree stays clean."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        made = subprocess.run(
            [sys.executable, "-c", "import sys; from setuptools import build_meta as b; "
             "print(b.build_wheel(sys.argv[1]))", str(out)], cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode:
            raise SystemExit(f"the wheel cannot be built:\n{made.stderr[-2000:]}")
    return out / made.stdout.strip().splitlines()[-1]


def build_deb(out: Path) -> Path:
    """The package; its path."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        share = tree / SHARE
        share.mkdir(parents=True)
        build_wheel(share)
        for name in FILES:
            shutil.copy(ROOT / "packaging" / name, share / name)
        (share / "requirements.lock").write_text(gateway_lock(), encoding="utf-8")
        documents = tree / "usr/share/doc/tocsin-gateway"
        documents.mkdir(parents=True)
        shutil.copy(ROOT / "LICENSE", documents / "copyright")
        shutil.copy(ROOT / "docs" / "install.md", documents / "install.md")
        link = tree / "usr/bin/tocsin"
        link.parent.mkdir(parents=True)
        link.symlink_to("/opt/tocsin/bin/tocsin")
        debian = tree / "DEBIAN"
        debian.mkdir()
        kib = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file()) // 1024
        (debian / "control").write_text(CONTROL.format(version=version(), kib=kib), encoding="utf-8")
        for name, text in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
            (debian / name).write_text(text, encoding="utf-8")
            (debian / name).chmod(0o755)
        for path in tree.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)
        package = out / f"tocsin-gateway_{version()}_all.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(package)], check=True,
                       capture_output=True)
    return package


def main(arguments: list[str]) -> int:
    """deb or wheel."""
    if arguments == ["deb"]:
        (ROOT / "dist").mkdir(exist_ok=True)
        print(build_deb(ROOT / "dist").relative_to(ROOT))
    elif arguments == ["wheel"]:
        print(build_wheel(ROOT / "packaging").relative_to(ROOT))
        (ROOT / "packaging" / "requirements.lock").write_text(gateway_lock(), encoding="utf-8")
    else:
        print("usage: build_deb.py deb|wheel", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
