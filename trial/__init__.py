"""A scenario judged: simulated devices, the production gateway and the community OS in virtual time."""

from trial.setup import TrialSetup, without
from trial.verdict import Check, Verdict, judge
from trial.witness import Witness

__all__ = ["Check", "TrialSetup", "Verdict", "Witness", "judge", "without"]
