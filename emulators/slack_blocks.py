"""The Block Kit rules that the emulated Slack applies to a message's blocks."""

from __future__ import annotations

from typing import Any

MAX_BLOCKS, MAX_ACTIONS, MAX_CONTEXT, MAX_FIELDS, MAX_OPTIONS = 50, 25, 10, 10, 100
_SECTION, _HEADER, _FIELD, _BUTTON, _VALUE, _URL, _ID = 3000, 150, 2000, 75, 2000, 3000, 255
_BLOCKS = (
    "section",
    "divider",
    "header",
    "context",
    "actions",
    "image",
    "input",
    "rich_text",
    "file",
    "video",
    "markdown",
)


def block_problem(blocks: Any) -> str | None:
    """What Slack would object to in these blocks, or None."""
    if not isinstance(blocks, list):
        return "blocks must be a list"
    if len(blocks) > MAX_BLOCKS:
        return f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]"
    for place, block in enumerate(blocks):
        problem = _block(block)
        if problem is not None:
            return f"{problem} [json-pointer:/blocks/{place}]"
    return None


def _block(block: Any) -> str | None:
    if not isinstance(block, dict) or block.get("type") not in _BLOCKS:
        return "unsupported type"
    if len(str(block.get("block_id", ""))) > _ID:
        return f"block_id must be at most {_ID} characters"
    check = {"section": _section, "header": _header, "actions": _actions, "context": _context, "image": _image}
    return check[block["type"]](block) if block["type"] in check else None


def _text(text: Any, limit: int, *, plain: bool = False) -> str | None:
    if not isinstance(text, dict) or text.get("type") not in (("plain_text",) if plain else ("plain_text", "mrkdwn")):
        return "text must be a text object of an allowed type"
    value = text.get("text")
    if not isinstance(value, str) or not value:
        return "text must not be empty"
    return f"must be less than {limit + 1} characters" if len(value) > limit else None


def _section(block: dict[str, Any]) -> str | None:
    fields = block.get("fields") or []
    if not block.get("text") and not fields:
        return "a section needs text or fields"
    if len(fields) > MAX_FIELDS:
        return f"no more than {MAX_FIELDS} fields allowed"
    problems = [_text(field, _FIELD) for field in fields]
    if block.get("text"):
        problems.append(_text(block["text"], _SECTION))
    if isinstance(block.get("accessory"), dict):
        problems.append(_element(block["accessory"]))
    return next((problem for problem in problems if problem), None)


def _header(block: dict[str, Any]) -> str | None:
    return _text(block.get("text"), _HEADER, plain=True)


def _actions(block: dict[str, Any]) -> str | None:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= MAX_ACTIONS:
        return f"actions need 1 to {MAX_ACTIONS} elements"
    ids = [element.get("action_id") for element in elements if isinstance(element, dict) and element.get("action_id")]
    if len(set(ids)) < len(ids):
        return "action_id must be unique in a block"
    return next((problem for problem in map(_element, elements) if problem), None)


def _context(block: dict[str, Any]) -> str | None:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= MAX_CONTEXT:
        return f"context needs 1 to {MAX_CONTEXT} elements"
    return None


def _image(block: dict[str, Any]) -> str | None:
    if not block.get("alt_text") or not (block.get("image_url") or block.get("slack_file")):
        return "an image needs alt_text and image_url"
    return None


def _element(element: Any) -> str | None:
    if not isinstance(element, dict) or not element.get("type"):
        return "unsupported element"
    if len(str(element.get("action_id", ""))) > _ID:
        return f"action_id must be at most {_ID} characters"
    if element["type"] != "button":
        return None
    if len(str(element.get("value", ""))) > _VALUE:
        return f"value must be at most {_VALUE} characters"
    if len(str(element.get("url", ""))) > _URL:
        return f"url must be at most {_URL} characters"
    if "style" in element and element["style"] not in ("primary", "danger"):
        return "style must be primary or danger"
    return _text(element.get("text"), _BUTTON, plain=True)
