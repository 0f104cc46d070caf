"""A scenario judged: simulated devices, the production gateway and the community OS in virtual time."""
