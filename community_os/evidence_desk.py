"""EvidenceDesk (I/O): the evidence of an incident, for its page; each look stands in the audit log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from community_os.evidence_files import EvidenceFiles, SentEvidence
from community_os.store import IncidentStore, StoreCalls
from community_os.store_changes import AuditRow, SiteCommit
from dashboards.brigade import EvidenceFacts
from dashboards.evidence_pages import EvidenceFileView, EvidenceView
from device_model.clock import Clock
from device_model.read_models import IncidentView


class _RecordFile(msgspec.Struct, frozen=True):
    name: str
    sha256: str


class _Record(msgspec.Struct, frozen=True):
    """What is checked of a signed record (device_drivers/vision/evidence.py)."""

    key: str
    signature: str
    files: tuple[_RecordFile, ...] = ()


class IncidentEvidence:
    """Implements `dashboards.evidence_pages.EvidenceDesk`."""

    def __init__(self, files: EvidenceFiles, store: IncidentStore, calls: StoreCalls, clock: Clock) -> None:
        self._files, self._store, self._calls, self._clock = files, store, calls, clock

    async def site_of(self, incident: str, scope: str) -> str | None:
        """None for an incident that is not there, or not within the scope."""
        view = await self._calls(lambda: self._store.incident(incident, scope))
        return view.tenancy.path if view is not None else None

    async def evidence(self, incident: str, scope: str) -> tuple[EvidenceView, ...]:
        """Of any alarm of the incident."""
        view = await self._calls(lambda: self._store.incident(incident, scope))
        if view is None:
            return ()
        items = await asyncio.to_thread(self._of, view)
        return tuple([await asyncio.to_thread(self._view, incident, item) for item in items])

    async def facts(self, view: IncidentView) -> tuple[EvidenceFacts, ...]:
        """The same for the incident's page (`community_os.brigade_service.EvidenceOf`)."""
        facts = []
        for item in await asyncio.to_thread(self._of, view):
            urls = {f.kind: _url(view.id, item, f.name) for f in item.files if f.state == "whole"}
            hashes = {f.kind: f.sha256 for f in item.files if f.state == "whole"}
            facts.append(EvidenceFacts(
                item.id, item.camera, item.zone, item.decided_us, item.scene, urls.get("snapshot", ""),
                urls.get("clip", ""), hashes.get("clip", hashes.get("snapshot", ""))))
        return tuple(facts)

    async def file(self, incident: str, evidence: str, name: str) -> Path | None:
        """A whole file of that incident."""
        view = await self._calls(lambda: self._store.incident(incident, ""))
        if view is None:
            return None
        items = await asyncio.to_thread(self._of, view)
        item = next((one for one in items if one.id == evidence), None)
        return self._files.file_of(item, name) if item is not None else None

    async def looked(self, path: str, incident: str, who: str, what: str) -> None:
        """Raises LocalFault."""
        row = AuditRow(path, self._clock.now().wall_us, "evidence_seen", who, incident, what[:500])
        await self._calls(lambda: self._store.apply([SiteCommit(path, 0, (row,), tick=True)]))

    def _of(self, view: IncidentView) -> list[SentEvidence]:
        alarms = {alarm.alarm for alarm in view.alarms}
        return [item for item in self._files.of_site(view.tenancy.path) if item.alarm in alarms]

    def _view(self, incident: str, item: SentEvidence) -> EvidenceView:
        files = tuple(
            EvidenceFileView(
                f.name, f.kind, f.size, f.size if f.state == "whole" else sum(b - a + 1 for a, b in f.got), f.state,
                f.sha256, _url(incident, item, f.name) if f.state == "whole" else "", f.why)
            for f in item.files)
        return EvidenceView(item.id, item.camera, item.scene, item.zone, item.decided_us, files, self._checked(item))

    def _checked(self, item: SentEvidence) -> str:
        """"" while there is no record; else "fits", or what does not fit."""
        path = self._files.file_of(item, f"{item.id}.json")
        if path is None:
            return ""
        line = path.read_bytes()
        try:
            record = msgspec.json.decode(line, type=_Record)
            # The signature is the record's last field and stands empty in what was signed.
            signed = line.replace(f'"signature":"{record.signature}"'.encode(), b'"signature":""', 1)
            shorter = line.replace(f',"signature":"{record.signature}"'.encode(), b"", 1)
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(record.key))
            _verify(key, bytes.fromhex(record.signature), (shorter, signed))
        except (msgspec.DecodeError, InvalidSignature, ValueError):
            return "the record's signature does not fit"
        hashes = {file.name: file.sha256 for file in record.files}
        wrong = [f.name for f in item.files if f.state == "whole" and f.kind != "record"
                 and hashes.get(f.name) != f.sha256]
        return f"{wrong[0]} is not what the record names" if wrong else "fits"


def _verify(key: Ed25519PublicKey, signature: bytes, forms: tuple[bytes, ...]) -> None:
    """Raises InvalidSignature where none of the forms was signed."""
    for form in forms[:-1]:
        try:
            key.verify(signature, form)
        except InvalidSignature:
            continue
        return
    key.verify(signature, forms[-1])


def _url(incident: str, item: SentEvidence, name: str) -> str:
    return f"/evidence/{incident}/{item.id}/{name}"

