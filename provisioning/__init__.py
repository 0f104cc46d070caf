"""A box becomes a member of a site: keys, certificates, enrolment, revocation."""

from provisioning.identity import EnrolledGateway, GatewayStatus, broker_user, check_address, check_request

__all__ = ["EnrolledGateway", "GatewayStatus", "broker_user", "check_address", "check_request"]
