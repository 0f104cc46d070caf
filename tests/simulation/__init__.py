"""The whole system in virtual time from one seed."""
