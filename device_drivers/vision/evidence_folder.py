"""~ What lies in an evidence folder beside the chain: the key, the chain's head, the holds.

```
 chain.jsonl   one signed record a line, synced         evidence.pub   the key's public half
 chain.head    signed: how many there are at least      evidence.key   0600, never leaves
 holds.json    signed: legal holds                      open-incidents.json   the gateway's own (edge_agent)
 <id>.mp4  <id>.jpg                                     <id>.part      a clip that is being written
```
The head is why records cannot be cut off at the end unseen. A list of holds that cannot be read holds everything:
whoever spoils the file must not get old evidence taken out by it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device_drivers.vision.evidence import ChainHead, HoldList, parse_head, parse_holds, sign
from device_model.errors import ConfigError, Finding, LocalFault, PeerGarbled

CHAIN, HEAD, PUBLIC, PRIVATE, HOLDS = "chain.jsonl", "chain.head", "evidence.pub", "evidence.key", "holds.json"
OPEN_INCIDENTS = "open-incidents.json"  # the gateway's own: evidence id to alarm (edge_agent/evidence_part.py)
PICTURES = (".mp4", ".jpg", ".part")


def own_key(folder: Path, *, make: bool = False) -> Ed25519PrivateKey:
    """The gateway's evidence key; `make` one where there is none. Raises LocalFault where it cannot be used, OSError
    where it cannot be written."""
    path = folder / PRIVATE
    if make and not path.exists():
        key = Ed25519PrivateKey.generate()
        replace_synced(path, key.private_bytes_raw().hex().encode())
        return key
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except OSError as error:
        raise LocalFault(f"{path}: {error.strerror}; run this as the user whose gateway it is") from error
    except ValueError as error:
        raise LocalFault(f"{path}: is no key any more; put its copy back, or let the gateway begin anew") from error


def public_of(key: Ed25519PrivateKey) -> str:
    """The public half, hex."""
    return key.public_key().public_bytes_raw().hex()


def write_synced(path: Path, octets: bytes) -> None:
    """Written and on the disk. Raises OSError; half a file is then not left."""
    try:
        with path.open("wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def replace_synced(path: Path, octets: bytes) -> None:
    """All of it or what was there before; for the owner's eyes only. Raises OSError."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def write_head(folder: Path, count: int, digest: str, key: Ed25519PrivateKey) -> None:
    """Say how far the chain goes. Raises OSError; the head then lags, which is true all the same."""
    replace_synced(folder / HEAD, msgspec.json.encode(sign(ChainHead(count, digest), key), order="deterministic"))


def read_head(folder: Path) -> ChainHead | None:
    """None where there is none, or it is garbled."""
    try:
        return parse_head((folder / HEAD).read_bytes())
    except (OSError, PeerGarbled):
        return None


def held(folder: Path) -> frozenset[str] | None:
    """Ids under a legal hold or whose incident is open. None: a list is there and cannot be read, so that nothing is
    known to be free."""
    ids: set[str] = set()
    for name, read in ((HOLDS, lambda octets: parse_holds(octets).holds), (OPEN_INCIDENTS, _plain)):
        try:
            ids.update(read((folder / name).read_bytes()))
        except FileNotFoundError:
            continue
        except (OSError, PeerGarbled, msgspec.DecodeError, UnicodeDecodeError):
            return None
    return frozenset(ids)


def _plain(octets: bytes) -> dict[str, str]:
    return msgspec.json.decode(octets, type=dict[str, str])


def change_hold(folder: Path, identity: str, why: str) -> None:
    """Hold a record's or an incident's files, or with an empty reason let them go. The running process reads the file
    anew before it prunes. Raises ConfigError where there is no evidence folder or the list is spoilt, LocalFault
    where the key cannot be read or the disk refuses."""
    if not (folder / PUBLIC).exists():
        raise ConfigError([Finding(str(folder), 0, 0, "no evidence folder", f"give the folder with {CHAIN} in it")])
    path = folder / HOLDS
    try:
        holds = dict(parse_holds(path.read_bytes()).holds)
    except FileNotFoundError:
        holds = {}
    except (OSError, PeerGarbled) as error:
        what = f"cannot be read: {error}"
        remedy = "put its copy back; until then nothing is taken out. Or move it away: then nothing is held"
        raise ConfigError([Finding(str(path), 0, 0, what, remedy)]) from error
    holds.pop(identity, None)
    if why:
        holds[identity] = why
    try:
        sign_holds(folder, holds, own_key(folder))
    except OSError as error:
        raise LocalFault(f"{path}: {error.strerror}") from error


def sign_holds(folder: Path, holds: dict[str, str], key: Ed25519PrivateKey) -> None:
    """Write the list. Raises OSError."""
    replace_synced(folder / HOLDS, msgspec.json.encode(sign(HoldList(holds), key), order="deterministic"))


def hash_of(path: Path) -> tuple[str, int]:
    """SHA-256 and size. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
