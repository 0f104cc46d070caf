"""The nouns of Tocsin: what every other package speaks of. Pure; reading files is library.py's (I/O), which is not
imported here."""

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.clock import Clock, Now
from device_model.errors import (
    ConfigError,
    Finding,
    LawRefusal,
    LocalFault,
    PeerError,
    PeerGarbled,
    PeerRefused,
    PeerSilent,
    TocsinError,
)
from device_model.inventory import Inventory, Point
from device_model.profile import DeviceProfile, ProfilePoint
from device_model.profile_file import parse_profile
from device_model.reading import Quality, Reading, Reason, Value
from device_model.site import Site, Tenancy, Text
from device_model.site_file import parse_site

__all__ = [
    "AlarmKey", "AlarmState", "AlarmTransition", "Clock", "ConfigError", "DeviceProfile", "Finding", "Hazard",
    "Inventory", "LawRefusal", "LocalFault", "Now", "PeerError", "PeerGarbled", "PeerRefused", "PeerSilent", "Point",
    "ProfilePoint", "Quality", "Reading", "Reason", "Severity", "Site", "Tenancy", "Text", "TocsinError", "Value",
    "parse_profile", "parse_site",
]
