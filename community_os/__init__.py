"""The community OS: from gateways to incidents and pages. I/O files are imported by name, never from here."""

from community_os.broker_config import BrokerAccess, BrokerSettings
from community_os.envelopes import ActEnvelope, Envelope, UpEnvelope, decode_envelope, encode_envelope, subject_of
from community_os.ledger import Gap, GapChange, GapState, Ledger, Loss
from community_os.settings import CloudSettings, parse_cloud
from community_os.site_effects import Effects, Notify, SendCommand
from community_os.site_setup import SiteSetup
from community_os.site_worker import SiteWorker
from community_os.store_changes import SiteCommit, StoreChange

__all__ = [
    "ActEnvelope", "BrokerAccess", "BrokerSettings", "CloudSettings", "Effects", "Envelope", "Gap", "GapChange",
    "GapState", "Ledger", "Loss", "Notify", "SendCommand", "SiteCommit", "SiteSetup", "SiteWorker", "StoreChange",
    "UpEnvelope", "decode_envelope", "encode_envelope", "parse_cloud", "subject_of",
]
