"""Writes docs/api.md from a descriptor set with its comments: `make proto`. What is above the mark there stays.

python proto/api_guide.py DESCRIPTOR_SET docs/api.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from google.protobuf import descriptor_pb2 as pb

MARK = "<!-- Below this line: written by `make proto` from the comments in proto/. -->\n"
PACKAGE = ".wildgate.v1."
Place: TypeAlias = tuple[int, ...]
"""Where something is in its file: numbers of fields and places in lists, as `SourceCodeInfo` has it."""
# Numbers of fields in descriptor.proto.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _METHODS, _VALUES = 2, 3, 4, 2, 2
_KINDS = pb.FieldDescriptorProto


class ApiFile:
    """One proto file as Markdown."""

    def __init__(self, file: pb.FileDescriptorProto) -> None:
        self._file = file
        self._said = {tuple(at.path): at.leading_comments.strip() for at in file.source_code_info.location}

    def lines(self) -> Iterator[str]:
        """Services first, then messages and enums in their order, nested ones after what they are in."""
        name = self._file.name.rpartition("/")[2]
        yield f"## [{name}](../proto/{self._file.name})\n"
        yield self._comment((2,))  # the comment above `package`
        for number, service in enumerate(self._file.service):
            yield from self._service(service, (_SERVICES, number))
        for number, message in enumerate(self._file.message_type):
            yield from self._message(message, (_MESSAGES, number), "")
        for number, enum in enumerate(self._file.enum_type):
            yield from self._enum(enum, (_ENUMS, number), "")

    def _comment(self, place: Place) -> str:
        return self._said.get(place, "") + "\n" if self._said.get(place) else ""

    def _cell(self, place: Place) -> str:
        return " ".join(self._said.get(place, "").split()).replace("|", "\\|").replace("<", "&lt;")

    def _service(self, service: pb.ServiceDescriptorProto, place: Place) -> Iterator[str]:
        yield f"### {service.name}\n"
        yield self._comment(place)
        yield "| method | asked with | answered with | |\n|---|---|---|---|"
        for number, method in enumerate(service.method):
            asked, answered = (
                ("stream of " if streams else "") + _linked(name)
                for name, streams in (
                    (method.input_type, method.client_streaming),
                    (method.output_type, method.server_streaming),
                )
            )
            yield f"| `{method.name}` | {asked} | {answered} | {self._cell((*place, _METHODS, number))} |"
        yield ""

    def _message(self, message: pb.DescriptorProto, place: Place, outer: str) -> Iterator[str]:
        yield f"### {outer}{message.name}\n"
        yield self._comment(place)
        if message.field:
            yield "| field | type | |\n|---|---|---|"
        for number, field in enumerate(message.field):
            of = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
            one_of = f"one of `{of}`. " if of and not field.proto3_optional else ""
            said = self._cell((*place, _FIELDS, number))
            yield f"| `{field.name}` | {_type(field)} | {one_of}{said} |"
        yield ""
        for number, nested in enumerate(message.nested_type):
            yield from self._message(nested, (*place, _NESTED, number), f"{outer}{message.name}.")
        for number, enum in enumerate(message.enum_type):
            yield from self._enum(enum, (*place, _NESTED_ENUMS, number), f"{outer}{message.name}.")

    def _enum(self, enum: pb.EnumDescriptorProto, place: Place, outer: str) -> Iterator[str]:
        yield f"### {outer}{enum.name}\n"
        yield self._comment(place)
        yield "| value | |\n|---|---|"
        for number, value in enumerate(enum.value):
            yield f"| `{value.name}` = {value.number} | {self._cell((*place, _VALUES, number))} |"
        yield ""


def _type(field: pb.FieldDescriptorProto) -> str:
    named = field.type in (_KINDS.TYPE_MESSAGE, _KINDS.TYPE_ENUM)
    name = _linked(field.type_name) if named else _KINDS.Type.Name(field.type).removeprefix("TYPE_").lower()
    return f"repeated {name}" if field.label == _KINDS.LABEL_REPEATED else name


def _linked(name: str) -> str:
    if not name.startswith(PACKAGE):
        return f"`{name[1:]}`"
    short = name.removeprefix(PACKAGE)
    return f"[{short}](#{short.lower().replace('.', '')})"


def main(arguments: Sequence[str]) -> int:
    """Writes the guide."""
    described, guide = map(Path, arguments)
    files = pb.FileDescriptorSet.FromString(described.read_bytes()).file
    ours = [file for file in files if file.package == "wildgate.v1"]
    head = guide.read_text().partition(MARK)[0]
    # scoring.proto is what most callers need.
    ours.sort(key=lambda file: (not file.name.endswith("scoring.proto"), file.name))
    lines = [line for file in ours for line in ApiFile(file).lines()]
    guide.write_text(f"{head}{MARK}\n" + "\n".join(lines).rstrip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
