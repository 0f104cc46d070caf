"""Text of printed documents, split into runs by the font that has its characters (pure).

    "CH₄ 60 µg/m³ 车间 · Workshop" ─► Helvetica "CH4 60 µg/m³ " │ STSong-Light "车间" │ Helvetica " · Workshop"

Both fonts come with every reader of PDF, so no font file travels; neither has all characters. What neither has is
replaced by its like (₄ by 4), the rest by a question mark: a box would say nothing.
"""

from __future__ import annotations

import unicodedata
from html import escape

LATIN, CHINESE = "Helvetica", "STSong-Light"
# Marks that both have: they are set in the font of their neighbour, as Chinese ones are wider.
_NEUTRAL = frozenset("“”‘’—…")


def runs(text: str) -> list[tuple[str, str]]:
    """(font, characters), in order."""
    letters = [one for letter in text for one in _printable(letter)]
    found: list[tuple[str, str]] = []
    for place, letter in enumerate(letters):
        around = letters[max(0, place - 1):place + 2]
        font = CHINESE if is_chinese(letter) or (letter in _NEUTRAL and any(map(is_chinese, around))) else LATIN
        if found and (found[-1][0] == font or letter == "\n"):
            found[-1] = (found[-1][0], found[-1][1] + letter)
        else:
            found.append((font, letter))
    return found


def markup(text: object) -> str:
    """For a paragraph of reportlab, with nothing of the text taken for markup."""
    return "".join(f'<font name="{font}">{escape(part)}</font>' for font, part in runs(str(text))).replace(
        "\n", "<br/>")


def has_chinese(text: object) -> bool:
    """Whether lines may break between any two characters of it."""
    return any(is_chinese(letter) for letter in str(text))


def is_chinese(letter: str) -> bool:
    """Whether only the Chinese font has it: hanzi, Chinese marks, Greek, circled numbers."""
    if _encodes(letter, "cp1252"):
        return False
    return "\u3400" <= letter <= "\u9fff" or _encodes(letter, "gbk")


def _printable(letter: str) -> str:
    if letter == "\n" or (_encodes(letter, "cp1252") and letter.isprintable()) or is_chinese(letter):
        return letter
    like = unicodedata.normalize("NFKC", letter)
    if like != letter and all(_encodes(one, "cp1252") or is_chinese(one) for one in like):
        return like
    return " " if letter.isspace() else "" if unicodedata.category(letter).startswith("C") else "?"


def _encodes(letter: str, code: str) -> bool:
    try:
        letter.encode(code)
    except UnicodeEncodeError:
        return False
    return True
