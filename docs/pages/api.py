"""The page of the contract: what the `.proto` and its comments say."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from pages.markdown import table

Path = tuple[int, ...]
"""Where an element stands in its file. Source: descriptor.proto, SourceCodeInfo.Location.path."""

HEAD = """This page is made from {source} by `make docs`. A field that is not sent
reads as zero or empty; messages, and fields that are *optional* or *one of* several, also tell whether they are set.
"""
SYNTAX: Path = (FileDescriptorProto.SYNTAX_FIELD_NUMBER,)
FOREIGN = {"google.protobuf.Duration": "https://protobuf.dev/reference/protobuf/google.protobuf/#duration"}


def api_page(descriptors: bytes) -> str:
    """Services, messages and enums in the order of the file.

    Args:
        descriptors: a FileDescriptorSet of one file, with source information.
    """
    (file,) = FileDescriptorSet.FromString(descriptors).file
    return Page(file).text()


class Page:
    """One `.proto` file as Markdown."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(location.path): location.leading_comments or location.trailing_comments
            for location in file.source_code_info.location
        }
        names = [*(message.name for message in file.message_type), *(enum.name for enum in file.enum_type)]
        self._own = {f"{file.package}.{name}": name for name in names}

    def text(self) -> str:
        """The whole page."""
        kinds = FileDescriptorProto
        services = [self._service((kinds.SERVICE_FIELD_NUMBER, i), one) for i, one in enumerate(self._file.service)]
        messages = [
            self._message((kinds.MESSAGE_TYPE_FIELD_NUMBER, i), one) for i, one in enumerate(self._file.message_type)
        ]
        enums = [self._enum((kinds.ENUM_TYPE_FIELD_NUMBER, i), one) for i, one in enumerate(self._file.enum_type)]
        return "\n".join([self._head(), *services, "## Messages\n", *messages, "## Enums\n", *enums])

    def _head(self) -> str:
        source = f"[{self._file.name}](../proto/{self._file.name})"
        return f"# {self._file.package}\n\n{self._paragraphs(SYNTAX)}{HEAD.format(source=source)}"

    def _service(self, path: Path, service: ServiceDescriptorProto) -> str:
        rows = (
            self._method((*path, service.METHOD_FIELD_NUMBER, i), method) for i, method in enumerate(service.method)
        )
        calls = table(["call", "request", "response", "meaning"], rows)
        return f"## {service.name}\n\n{self._paragraphs(path)}{calls}"

    def _method(self, path: Path, method: MethodDescriptorProto) -> list[str]:
        request = "stream of " * method.client_streaming + self._linked(method.input_type)
        response = "stream of " * method.server_streaming + self._linked(method.output_type)
        return [f"**{method.name}**", request, response, self._comment(path)]

    def _message(self, path: Path, message: DescriptorProto) -> str:
        rows = [
            [f"`{field.name}`", str(field.number), self._type(field), _label(message, field), self._comment(place)]
            for i, field in enumerate(message.field)
            for place in [(*path, message.FIELD_FIELD_NUMBER, i)]
        ]
        fields = table(["field", "number", "type", "label", "meaning"], rows) if rows else "No fields.\n"
        return f"### {message.name}\n\n{self._paragraphs(path)}{fields}"

    def _enum(self, path: Path, enum: EnumDescriptorProto) -> str:
        rows = [
            [f"`{value.name}`", str(value.number), self._comment((*path, enum.VALUE_FIELD_NUMBER, i))]
            for i, value in enumerate(enum.value)
        ]
        return f"### {enum.name}\n\n{self._paragraphs(path)}{table(['value', 'number', 'meaning'], rows)}"

    def _comment(self, path: Path) -> str:
        return self._comments.get(path, "").strip()

    def _paragraphs(self, path: Path) -> str:
        comment = self._comments.get(path, "")
        lines = "\n".join(line.strip() for line in comment.strip().splitlines())
        return f"{lines}\n\n" if lines else ""

    def _type(self, field: FieldDescriptorProto) -> str:
        if field.type_name:
            return self._linked(field.type_name)
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()

    def _linked(self, type_name: str) -> str:
        full = type_name.removeprefix(".")
        name = self._own.get(full)
        return f"[{name}](#{name.lower()})" if name else f"[{full}]({FOREIGN[full]})"


def _label(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return "repeated"
    if field.proto3_optional:
        return "optional"
    return f"one of `{message.oneof_decl[field.oneof_index].name}`" if field.HasField("oneof_index") else ""
