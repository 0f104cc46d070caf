"""Rules: readings to alarms, in event time and three values. Pure; `rules_engine.packs` reads the shipped files."""

from rules_engine.condition_check import Vocabulary, check_condition
from rules_engine.condition_parse import ConditionError, parse_condition
from rules_engine.engine import Engine
from rules_engine.rule import Bind, Parameter, Per, Rule, RulePack, RuleSet, Runs, parse_pack

__all__ = [
    "Bind", "ConditionError", "Engine", "Parameter", "Per", "Rule", "RulePack", "RuleSet", "Runs", "Vocabulary",
    "check_condition", "parse_condition", "parse_pack",
]
