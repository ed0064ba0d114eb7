"""EBML elements (RFC 8794): an id, a size, and as many bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wildgate_server.media.sample import UnfitIndex
from wildgate_server.source.byte_source import ByteRange, ByteSource

__all__ = ["Element", "ElementReader", "children", "element_at", "number", "with_size"]

_LONGEST_HEADER = 12  # 4 bytes of id, 8 of size


@dataclass(frozen=True, slots=True)
class Element:
    """Where an element and its data lie; `end` is None where it does not say how long it is."""

    id: int
    start: int
    data: int
    end: int | None

    @property
    def known_end(self) -> int:
        """Where it ends. Raises UnfitIndex where it does not say so."""
        if self.end is None:
            raise UnfitIndex("where an element ends is unknown")
        return self.end


def element_at(content: bytes | memoryview, at: int, base: int = 0) -> Element | None:
    """The element whose header is at `at` of `content`, None if there is none; its places are counted from `base`."""
    if at >= len(content) or not (first := content[at]):
        return None
    id_length = 9 - first.bit_length()
    size_at = at + id_length
    if id_length > 4 or size_at >= len(content) or not (first := content[size_at]):
        return None
    size_length = 9 - first.bit_length()
    data = size_at + size_length
    if data > len(content):
        return None
    size = int.from_bytes(content[size_at:data], "big") & ((1 << 7 * size_length) - 1)
    unknown = size == (1 << 7 * size_length) - 1
    identity = int.from_bytes(content[at:size_at], "big")
    return Element(identity, base + at, base + data, None if unknown else base + data + size)


def children(content: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Ids and data of the elements that `content` consists of, up to the first that is not one."""
    view = memoryview(content)
    at = 0
    while (element := element_at(view, at)) and element.end is not None and element.end <= len(view):
        yield element.id, view[element.data : element.end]
        at = element.end


def number(data: memoryview | None) -> int:
    """An unsigned integer; 0 for an element that is missing. Raises UnfitIndex for more than eight bytes."""
    if data is not None and len(data) > 8:
        raise UnfitIndex("a number is too long")
    return int.from_bytes(data or b"", "big")


def with_size(identity: bytes, data: bytes) -> bytes:
    """An element of this id and data."""
    return identity + (len(data) | 1 << 56).to_bytes(8, "big") + data


class ElementReader:
    """Reads elements of a file."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    def at(self, place: int) -> Element | None:
        """The element whose header is at a place of the file."""
        return element_at(self._source.ahead(place, _LONGEST_HEADER), 0, place) if place < self._source.size else None

    def whole(self, place: int) -> Element:
        """The same. Raises UnfitIndex where there is none, or where its end is unknown or past that of the file."""
        element = self.at(place)
        if element is None or element.known_end > self._source.size:
            raise UnfitIndex("an element is not whole")
        return element

    def data(self, element: Element, longest: int) -> memoryview:
        """An element's data. Raises UnfitIndex for more than `longest` bytes, and past the end of the file."""
        if element.known_end > self._source.size or element.known_end - element.data > longest:
            raise UnfitIndex("an element is too long")
        [content] = self._source.read([ByteRange(element.data, element.known_end)])
        return content
