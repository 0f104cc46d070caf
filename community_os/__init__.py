"""The community OS: from gateways to incidents and pages. I/O files are imported by name, never from here."""

from community_os.broker_config import BrokerAccess, BrokerSettings
from community_os.envelopes import ActEnvelope, Envelope, UpEnvelope, decode_envelope, encode_envelope, subject_of
from community_os.ledger import Gap, GapChange, GapState, Ledger, Loss

__all__ = [
    "ActEnvelope", "BrokerAccess", "BrokerSettings", "Envelope", "Gap", "GapChange", "GapState", "Ledger", "Loss",
    "UpEnvelope", "decode_envelope", "encode_envelope", "subject_of",
]
