"""Numbers of rules as they run: how a gateway says which ones do, so that nobody takes a wanted number for one. Pure.

    site file, rules.parameters ──► digest_of ──► heartbeat ──► cloud: which of the sets that it knows is that?
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

DIGEST_LETTERS = 16  # 64 bits: it tells sets apart that people made, it proves nothing to anybody


class NumbersReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """Said by the gateway. digest: of the numbers that run now. takes: whether its site file lets the cloud send some
    (`remote_numbers`). version: of the sent ones that run, 0 for none; on_probation: taken back if the cloud is lost.
    offered: the newest version that came; why: what keeps it from running, "" for nothing; final: no repeating will
    change that."""

    digest: str = ""
    takes: bool = False
    version: int = 0
    on_probation: bool = False
    offered: int = 0
    why: str = ""
    final: bool = False


def digest_of(parameters: Mapping[str, Mapping[str, str]]) -> str:
    """Of rule id → name → value text, as it stands in a site file; empty rules count as none."""
    plain = sorted((rule, sorted((name, str(value)) for name, value in own.items()))
                   for rule, own in parameters.items() if own)
    return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()[:DIGEST_LETTERS]
