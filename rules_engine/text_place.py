"""Where in a YAML file a word of a condition stands, however the text was quoted or folded."""

from __future__ import annotations


def place_in(text: str, mark: tuple[int, int], value: str, offset: int) -> tuple[int, int]:
    """One-based (line, column) in the file of `value[offset]`, where `value` is the scalar that starts at `mark`.

    Quotes, folding and indentation only add or take white space and quote marks, so the letters of the value are
    found again in order; where they are not, the mark itself is given.
    """
    lines = text.split("\n")
    start = sum(len(line) + 1 for line in lines[: mark[0] - 1]) + mark[1] - 1
    if start < len(text) and text[start] in "|>":  # a block: its text begins on the next line
        start = text.find("\n", start)
        if start < 0:
            return mark
    at = start
    for letter in value[:offset]:
        if letter.isspace():
            continue
        at = text.find(letter, at)
        if at < 0:
            return mark
        at += 1
    while at < len(text) and (text[at].isspace() or (text[at] in "'\"" and value[offset:offset + 1] != text[at])):
        at += 1
    if at > len(text):
        return mark
    line = text.count("\n", 0, at)
    column = at - (text.rfind("\n", 0, at) + 1)
    return line + 1, column + 1
