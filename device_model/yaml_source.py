"""YAML with positions: every error of a file is found in one pass and named with line, column and remedy.

    text ──parse_yaml──► Source (plain content + a mark for each node)
    Source ──convert──► structs, appending a Finding for each thing that does not fit

Loaders first convert what they can, then check meaning, and raise one ConfigError with all findings.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeVar, get_args, get_origin

import msgspec
import yaml

from device_model.errors import ConfigError, Finding

T = TypeVar("T")
Step = str | int
Path = tuple[Step, ...]

# A site of 500 devices is about 100 KiB; ten times that is a mistake or an attack.
TEXT_BYTES_MAX = 2 * 1024 * 1024
# Deeper nesting than any file of ours has; keeps recursion bounded.
DEPTH_MAX = 32
NODES_MAX = 200_000


class Source:
    """A parsed file: `content` is plain (dict, list, str, int, float, bool, None); marks tell where each is."""

    def __init__(self, file: str, content: Any, marks: dict[Path, tuple[int, int]]) -> None:
        self.file = file
        self.content = content
        self._marks = marks

    def mark(self, path: Sequence[Step]) -> tuple[int, int]:
        """One-based (line, column) of the node at that path, or of its nearest parent that exists."""
        at = tuple(path)
        while at and at not in self._marks:
            at = at[:-1]
        return self._marks.get(at, (1, 1))

    def finding(self, path: Sequence[Step], what: str, remedy: str) -> Finding:
        """A Finding that points at the node."""
        line, column = self.mark(path)
        return Finding(self.file, line, column, what, remedy)

    def get(self, path: Sequence[Step]) -> Any:
        """The content at a path, or None where there is none."""
        node = self.content
        for step in path:
            if isinstance(node, dict):
                node = node.get(step)
            elif isinstance(node, list) and isinstance(step, int) and 0 <= step < len(node):
                node = node[step]
            else:
                return None
        return node


def parse_yaml(text: str, file: str) -> Source:
    """Parse one YAML document. Raises ConfigError on syntax errors, duplicate keys, aliases (they can explode),
    keys that are not plain, and files beyond the stated bounds."""
    if len(text.encode(errors="surrogatepass")) > TEXT_BYTES_MAX:
        raise ConfigError([Finding(file, 0, 0, f"the file is larger than {TEXT_BYTES_MAX} bytes", "split it")])
    try:
        _refuse_aliases(text, file)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ConfigError([Finding(file, line, column, f"not YAML: {error.problem}",
                                   "check indentation, quotes and colons here")]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the latter two: escapes of no character
        raise ConfigError([Finding(file, 1, 1, f"not YAML: {error}", "save it as UTF-8 text")]) from error
    if node is None:
        raise ConfigError([Finding(file, 0, 0, "the file is empty", "see the examples folder for a template")])
    marks: dict[Path, tuple[int, int]] = {}
    findings: list[Finding] = []
    content = _plain(node, (), marks, findings, file)
    if findings:
        raise ConfigError(findings)
    return Source(file, content, marks)


def _refuse_aliases(text: str, file: str) -> None:
    count = depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        count += 1
        # Bounded here, because the composer that follows recurses once a level.
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            mark = event.start_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            raise ConfigError([Finding(file, line, column, f"nested deeper than {DEPTH_MAX}", "flatten it")])
        if isinstance(event, yaml.AliasEvent):
            mark = event.start_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            raise ConfigError([Finding(file, line, column, "aliases (*name) are not accepted",
                                       "write the value out")])
        if count > NODES_MAX:
            raise ConfigError([Finding(file, 0, 0, f"more than {NODES_MAX} nodes", "split the file")])


def _plain(
    node: yaml.Node, path: Path, marks: dict[Path, tuple[int, int]], findings: list[Finding], file: str
) -> Any:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    marks[path] = (line, column)
    if len(path) > DEPTH_MAX:
        findings.append(Finding(file, line, column, f"nested deeper than {DEPTH_MAX}", "flatten it"))
        return None
    if isinstance(node, yaml.MappingNode):
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            at = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key, str | int | bool):
                findings.append(Finding(file, *at, "a key must be a plain word or number", "quote it"))
                continue
            if isinstance(key, str) and _halved(key):
                findings.append(Finding(file, *at, "the key holds half a character", "write the character itself"))
                continue
            if isinstance(key, bool):  # YAML 1.1 reads `on:` as true; people mean the word
                key = str(key_node.value)
            if key in mapping:
                findings.append(Finding(file, *at, f"the key {key!r} stands twice", "keep one of them"))
                continue
            mapping[key] = _plain(value_node, (*path, key), marks, findings, file)
            if not isinstance(value_node, yaml.ScalarNode):  # people look for the key, not for the line below it
                marks[(*path, key)] = at
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*path, i), marks, findings, file) for i, child in enumerate(node.value)]
    content = _scalar(typing.cast(yaml.ScalarNode, node))
    if isinstance(content, str) and _halved(content):
        findings.append(Finding(file, line, column, "the text holds half a character", "write the character itself"))
        return None
    return content


def _halved(text: str) -> bool:
    """Whether an escape such as \\ud800 left half a character, which nothing can write down again."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _scalar(node: yaml.ScalarNode) -> Any:
    """A scalar as YAML 1.1 reads it, except dates, which stay text."""
    if node.tag == "tag:yaml.org,2002:timestamp":
        return node.value
    constructor = yaml.SafeLoader("")
    try:
        return constructor.construct_object(node)
    except (yaml.YAMLError, ValueError):
        return node.value
    finally:
        constructor.dispose()


def convert(source: Source, path: Sequence[Step], kind: type[T], findings: list[Finding]) -> T | None:
    """The node at `path` as `kind`; None after appending a Finding for every error inside it.

    Structs are read field by field, so that all errors are reported, and unknown keys are errors with the
    nearest known key as remedy. In files keys are written as the struct's field names, or as its `rename` says.
    """
    before = len(findings)
    value = _convert(source, tuple(path), kind, findings)
    return value if len(findings) == before else None


def _convert(source: Source, path: Path, kind: Any, findings: list[Finding]) -> Any:
    content = source.get(path)
    origin = get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        if content is None and len(options) < len(get_args(kind)):
            return None
        if len(options) == 1:
            return _convert(source, path, options[0], findings)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _convert_struct(source, path, kind, findings)
    if origin in (list, tuple) and (origin is list or get_args(kind)[1:] == (Ellipsis,)):
        if not isinstance(content, list):
            findings.append(source.finding(path, f"{_name(path)} must be a list", "write `- item` lines below it"))
            return None
        items = [_convert(source, (*path, i), get_args(kind)[0], findings) for i in range(len(content))]
        return items if origin is list else tuple(items)
    if origin is dict:
        if not isinstance(content, dict):
            findings.append(source.finding(path, f"{_name(path)} must be a mapping", "write `key: value` lines"))
            return None
        key_kind, value_kind = get_args(kind)
        for key in content:
            try:
                msgspec.convert(key, key_kind)
            except msgspec.ValidationError as error:
                findings.append(source.finding((*path, key), f"key {key!r}: {str(error).lower()}", _remedy(key_kind)))
        return {key: _convert(source, (*path, key), value_kind, findings) for key in content}
    if isinstance(content, bool) and isinstance(kind, type) and issubclass(kind, StrEnum):
        content = "on" if content else "off"  # YAML 1.1 reads the bare words as true and false; here they are words
    if isinstance(content, float) and not math.isfinite(content):
        findings.append(source.finding(path, f"{_name(path)} is not a finite number", "write a plain number"))
        return None
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        findings.append(source.finding(path, f"{_name(path)}: {str(error).lower()}", _remedy(kind)))
        return None


def _convert_struct(source: Source, path: Path, kind: type[msgspec.Struct], findings: list[Finding]) -> Any:
    content = source.get(path)
    if not isinstance(content, dict):
        findings.append(source.finding(path, f"{_name(path)} must be a mapping", "write `key: value` lines"))
        return None
    hints = typing.get_type_hints(kind)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    before = len(findings)
    for key in content:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(fields)}"
            findings.append(source.finding((*path, key), f"unknown key {key!r}", remedy))
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in content:
            values[field.name] = _convert(source, (*path, name), hints[field.name], findings)
        elif field.required:
            findings.append(source.finding(path, f"{_name(path)} lacks {name!r}", f"add `{name}:`"))
    if len(findings) > before:
        return None
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        findings.append(source.finding(path, f"{_name(path)}: {error}", "see the README of device_model"))
        return None


def _name(path: Path) -> str:
    if not path:
        return "the file"
    return ".".join(str(step) for step in path)


def _remedy(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "one of: " + ", ".join(member.value for member in kind)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return f"write {names[kind]}" if kind in names else "see the example files"
