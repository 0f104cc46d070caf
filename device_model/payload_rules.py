"""What a payload key of a profile may say: paths, expressions, text patterns, binary places. Pure; for the checks and
for the drivers, so that both read the same words.

    a.b[0]."c-d"     members and list indices          u16be@3   two bytes from byte 3, high first
    other JMESPath   checked by its library            bit3@0    bit 3 (0 is the lowest) of byte 0
"""

from __future__ import annotations

import re

# Dotted names and list indices: the part of JMESPath that naming a value needs. Quoted names may hold anything.
_NAME = r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")'
PAYLOAD_PATH = re.compile(
    rf"(?:{_NAME}|\[-?\d{{1,4}}\])(?:\[-?\d{{1,4}}\])*(?:\.{_NAME}(?:\[-?\d{{1,4}}\])*)*")
BINARY = re.compile(
    r"(?:(?P<kind>[us](?:8|16|24|32|64)|f32|f64)(?P<order>be|le)?|bit(?P<bit>[0-7]))@(?P<at>\d{1,4})", re.ASCII)
TEMPLATES = ("aliyun-tsl", "chirpstack", "homeassistant", "homie", "senml", "sparkplug", "zigbee2mqtt")
EXPRESSION_MAX = 120  # characters; what one needs to find a value among its neighbours, twice
PIPES_MAX = 2  # each stage may double what the one before made
PATTERN_MAX = 120
REPEATS_MAX = 3  # unbounded repeats in a text of 256 characters: the work stays bounded
# A repeated group can take exponential time on a hostile text; so can a back-reference.
_COSTLY = re.compile(r"\)[*+{]|\(\?P=|\\[1-9]")


def path_problem(text: str) -> str:
    """What is wrong with a path or expression, for people; "" where nothing is."""
    if PAYLOAD_PATH.fullmatch(text):
        return ""
    if len(text) > EXPRESSION_MAX or text.count("|") > PIPES_MAX:
        return f"an expression has at most {EXPRESSION_MAX} characters and {PIPES_MAX} pipes"
    import jmespath  # here: most profiles have plain paths and never need it
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(text)
    except JMESPathError as problem:
        return " ".join(str(problem).split())
    return ""


def pattern_problem(text: str) -> str:
    """What is wrong with a text pattern, for people; "" where nothing is."""
    if len(text) > PATTERN_MAX:
        return f"a pattern has at most {PATTERN_MAX} characters"
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as problem:
        return str(problem)
    if pattern.groups > 1:
        return "a pattern has one group, or none"
    if _COSTLY.search(text):
        return "groups are not repeated or referred to"
    repeats = len(re.findall(r"(?<!\\)(?:[*+]|\{\d*,\d*\})", text))
    return f"more than {REPEATS_MAX} repeats" if repeats > REPEATS_MAX else ""
