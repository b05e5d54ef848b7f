"""YAML as a configuration file wants it: the 1.2 core schema, strictly, with a line for every key.

PyYAML's safe loader keeps the last of two equal keys, reads `no` as false and `1:20` as eighty, and follows aliases.
Here equal keys, anchors, aliases, tags and second documents are faults; only true and false are booleans. Faults that
leave the rest readable are gathered, so that the reader learns of all at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20

type Key = tuple[str | int, ...]

_SCALARS = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]{1,18}"), lambda text: int(text)),
    (re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}\.[0-9]{0,30})(?:[eE][-+]?[0-9]{1,3})?"), lambda text: float(text)),
)


@dataclass
class Document:
    """`lines` maps a key path, such as ("cache", "size") or ("clients", 0), to its line, counted from 1."""

    value: Any = None
    lines: dict[Key, int] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Builds nodes only; values are made by `_value`, so PyYAML's own constructors are never asked."""

    def __init__(self, text: str, faults: list[tuple[int, str]]) -> None:
        super().__init__(text)
        self.faults, self.depth = faults, 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            self.faults.append((line, f"*{event.anchor} is an alias; write the value out"))
            return ScalarNode("", "", style="alias", start_mark=event.start_mark)  # type: ignore[arg-type]
        if event.anchor:
            self.faults.append((line, f"&{event.anchor} is an anchor; write the value out where it is wanted"))
            event.anchor = None
        if event.tag:
            self.faults.append((line, f"{event.tag} is a tag; leave it out"))
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse(data: bytes) -> Document:
    """Never raises: what cannot be read is a fault of the document."""
    document = Document()
    if len(data) > MAX_BYTES:
        document.faults.append((1, f"the file has over {MAX_BYTES} bytes; a configuration is a page or two"))
        return document
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        document.faults.append((line, "this is not UTF-8; save the file as UTF-8"))
        return document
    try:
        loader = _Loader(text, document.faults)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = mark.line + 1 if mark else 1
        document.faults.append((where, f"not valid YAML: {fault.problem or fault.context}; correct it"))
    except yaml.YAMLError as fault:
        position = getattr(fault, "position", 0)
        document.faults.append((text.count("\n", 0, position) + 1, "a character that YAML forbids; remove it"))
    else:
        document.value = _value(node, (), document) if node is not None else None
    return document


def _value(node: Node, key: Key, document: Document) -> Any:
    document.lines.setdefault(key, node.start_mark.line + 1)
    match node:
        case MappingNode():
            return _mapping(node, key, document)
        case SequenceNode():
            return [_value(item, (*key, index), document) for index, item in enumerate(node.value)]
        case ScalarNode():
            return _scalar(node)


def _mapping(node: MappingNode, key: Key, document: Document) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name_node, value_node in node.value:
        line = name_node.start_mark.line + 1
        if not isinstance(name_node, ScalarNode):
            document.faults.append((line, "a key must be a plain word; put quotes around it"))
            continue
        name = str(name_node.value)
        if name in result:
            first = document.lines[(*key, name)]
            document.faults.append(
                (line, f"{dotted((*key, name))}: is here for the second time (first on line {first}); keep one")
            )
            continue
        document.lines[(*key, name)] = line
        result[name] = _value(value_node, (*key, name), document)
    return result


def _scalar(node: ScalarNode) -> Any:
    if node.style is not None:
        return node.value
    for pattern, build in _SCALARS:
        if pattern.fullmatch(node.value):
            return build(node.value)
    return node.value


def dotted(key: Key) -> str:
    """("clients", 0) as `clients[0]`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
