"""Tableau's wire format: XML answers and errors, XML requests, and multipart/mixed bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]
from starlette.responses import Response

NAMESPACE = "http://tableau.com/api"
_SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_PART_NAME = re.compile(rb'name="([^"]*)"')
_PART_FILE = re.compile(rb'filename="([^"]*)"')
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')


class BadRequestError(ValueError):
    """A request that Tableau refuses: HTTP status, its six-digit code, a summary and a detail."""

    def __init__(self, status: int, code: str, summary: str, detail: str) -> None:
        """Keep the parts of the error answer."""
        super().__init__(detail)
        self.status, self.code, self.summary = status, code, summary

    def response(self) -> Response:
        """The XML error answer."""
        return failure(self.status, self.code, self.summary, str(self))


def node(tag: str, attributes: Mapping[str, Any] | None = None, children: Iterable[Element] = ()) -> Element:
    """An element; attributes that are None are left out, booleans and numbers become text."""
    element = Element(tag)
    for name, value in (attributes or {}).items():
        if value is not None:
            element.set(name, str(value).lower() if isinstance(value, bool) else str(value))
    element.extend(children)
    return element


def answer(*children: Element, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A `tsResponse` document."""
    root = Element("tsResponse")
    root.set("xmlns", NAMESPACE)
    root.set("xmlns:xsi", _SCHEMA_INSTANCE)
    root.set("xsi:schemaLocation", f"{NAMESPACE} https://help.tableau.com/samples/en-us/rest_api/ts-api_3_27.xsd")
    root.extend(children)
    content = tostring(root, encoding="UTF-8", xml_declaration=True)
    return Response(content, status, media_type="application/xml;charset=utf-8", headers=dict(headers or {}))


def failure(status: int, code: str, summary: str, detail: str) -> Response:
    """An error document."""
    error = node("error", {"code": code})
    SubElement(error, "summary").text = summary
    SubElement(error, "detail").text = detail
    return answer(error, status=status)


def parse(body: bytes) -> Element:
    """The root of a request document, namespaces removed.

    Raises:
        BadRequestError: The body is not well-formed XML.
    """
    try:
        root: Element = fromstring(body)
    except (ParseError, ValueError) as error:
        raise BadRequestError(400, "400000", "Bad Request", "Payload is either malformed or incomplete.") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def child(parent: Element, path: str) -> Element:
    """A required element of a request.

    Raises:
        BadRequestError: It is missing.
    """
    found = parent.find(path)
    if found is None:
        raise BadRequestError(400, "400003", "Bad Request", f"The request payload has no {path.rpartition('/')[2]}.")
    return found


def parts(body: bytes, content_type: str) -> dict[str, tuple[str, bytes]]:
    """The parts of a multipart/mixed body: name -> (file name, content).

    Raises:
        BadRequestError: Another content type, or no boundary in it.
    """
    boundary = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/mixed") or boundary is None:
        raise BadRequestError(415, "415000", "Unsupported Media Type", "The request must be multipart/mixed.")
    marker = b"--" + boundary[1].encode()
    found: dict[str, tuple[str, bytes]] = {}
    for piece in body.split(marker)[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        name, file_name = _PART_NAME.search(head), _PART_FILE.search(head)
        if name is not None:
            found[name[1].decode()] = (file_name[1].decode() if file_name else "", content.removesuffix(b"\r\n"))
    return found
