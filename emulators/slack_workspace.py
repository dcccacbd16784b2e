"""The Web API methods of an emulated Slack workspace, each from its reference page."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emulators.core import Emulator
from emulators.slack_blocks import block_problem

if TYPE_CHECKING:
    from starlette.requests import Request

TEAM, TEAM_NAME, BOT_USER, BOT, APP = "T0LUMEN01", "Lumen Studios", "U0WEDSYNC", "B0WEDSYNC", "A0WEDSYNC"

MAX_TEXT = 40_000
_CHUNK = 200
_MAX_PAGE = 999
Arguments = dict[str, Any]
Answer = dict[str, Any]


class SlackError(Exception):
    """An error answer: HTTP 200 with `ok` false."""

    def __init__(self, error: str, *messages: str) -> None:
        """Keep the error code and what `response_metadata` will say."""
        super().__init__(error)
        self.error, self.messages = error, messages

    def body(self) -> Answer:
        """The answer's body."""
        extra = {"response_metadata": {"messages": list(self.messages)}} if self.messages else {}
        return {"ok": False, "error": self.error, **extra}


class Workspace:
    """The methods of one workspace; each runs inside the caller's transaction."""

    def __init__(self, emulator: Emulator) -> None:
        """Work on the emulator's stored channels and messages."""
        self._emulator = emulator

    def methods(self) -> dict[str, Callable[[Arguments, Request], Answer]]:
        """Handlers by Slack method name."""
        return {
            "auth.test": self.auth_test,
            "team.info": self.team_info,
            "chat.postMessage": self.post_message,
            "chat.update": self.update_message,
            "chat.delete": self.delete_message,
            "conversations.history": self.history,
            "conversations.replies": self.replies,
            "conversations.info": self.channel_info,
            "conversations.list": self.channel_list,
            "reactions.get": self.get_reactions,
            "reactions.add": self.add_reaction,
        }

    def auth_test(self, _arguments: Arguments, request: Request) -> Answer:
        """Who the token belongs to."""
        return {
            "url": f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}/",
            "team": TEAM_NAME,
            "user": "wedsync",
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT,
            "is_enterprise_install": False,
        }

    def team_info(self, _arguments: Arguments, _request: Request) -> Answer:
        """The workspace."""
        icon = {"image_default": True}
        return {"team": {"id": TEAM, "name": TEAM_NAME, "domain": "lumen-studios", "email_domain": "", "icon": icon}}

    def _channel(self, arguments: Arguments, *, member: bool) -> Answer:
        asked = str(arguments.get("channel") or "")
        channel = self._emulator.get("channels", asked) or self._emulator.find("channels", "name", asked.lstrip("#"))
        if not asked or channel is None:
            raise SlackError("channel_not_found")
        if member and not channel["is_member"]:
            raise SlackError("not_in_channel")
        return channel

    def _message(self, channel: str, ts: Any) -> Answer:
        message = self._emulator.get("messages", f"{channel}:{ts}")
        if message is None:
            raise SlackError("message_not_found")
        return message

    def _content(self, arguments: Arguments) -> Answer:
        text, blocks = str(arguments.get("text") or ""), arguments.get("blocks") or []
        if not text and not blocks and not arguments.get("attachments"):
            raise SlackError("no_text")
        if len(text) > MAX_TEXT:
            raise SlackError("msg_too_long")
        problem = block_problem(blocks)
        if problem is not None:
            raise SlackError("invalid_blocks", f"[ERROR] {problem}")
        content: Answer = {"text": text}
        if blocks:
            content["blocks"] = [{"block_id": uuid.uuid4().hex[:5], **block} for block in blocks]
        if arguments.get("attachments"):
            content["attachments"] = arguments["attachments"]
        return content

    @staticmethod
    def _metadata(arguments: Arguments) -> Answer:
        metadata = arguments.get("metadata")
        if not metadata:
            return {}
        payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
        if not isinstance(payload, dict) or not metadata.get("event_type"):
            raise SlackError("invalid_metadata_format")
        return {"metadata": {"event_type": metadata["event_type"], "event_payload": payload}}

    def _next_ts(self, channel: str) -> str:
        micros = time.time_ns() // 1000
        while self._emulator.get("messages", f"{channel}:{_ts(micros)}") is not None:
            micros += 1
        return _ts(micros)

    def post_message(self, arguments: Arguments, _request: Request) -> Answer:
        """Post a message; every accepted call is a new message, Slack deduplicates nothing."""
        channel = self._channel(arguments, member=True)
        content, metadata = self._content(arguments), self._metadata(arguments)
        ts = self._next_ts(channel["id"])
        thread = str(arguments.get("thread_ts") or "")
        message: Answer = {
            "type": "message",
            "user": BOT_USER,
            "bot_id": BOT,
            "app_id": APP,
            "team": TEAM,
            "ts": ts,
            **content,
            **_authorship(arguments),
            **({"thread_ts": thread} if thread else {}),
        }
        broadcast = str(arguments.get("reply_broadcast", "")).lower() == "true"
        placed = {
            "channel": channel["id"],
            "thread": f"{channel['id']}:{thread or ts}",
            "listed": "" if thread and not broadcast else channel["id"],
        }
        stored = {**message, **metadata, **placed}
        self._emulator.put("messages", f"{channel['id']}:{ts}", stored)
        self._emulator.effect("message.posted", "messages", f"{channel['id']}:{ts}", _plain(stored, metadata=True))
        return {"channel": channel["id"], "ts": ts, "message": message}

    def update_message(self, arguments: Arguments, _request: Request) -> Answer:
        """Change a message; the same content again is not an effect."""
        channel = self._channel(arguments, member=True)
        before = self._message(channel["id"], arguments.get("ts"))
        content, metadata = self._content({"text": before["text"], **arguments}), self._metadata(arguments)
        after = {**before, **content, **metadata}
        if arguments.get("blocks") == []:
            after.pop("blocks", None)
        if _comparable(after) != _comparable(before):
            after["edited"] = {"user": BOT_USER, "ts": _ts(time.time_ns() // 1000)}
            object_id = f"{channel['id']}:{before['ts']}"
            self._emulator.put("messages", object_id, after)
            self._emulator.effect("message.updated", "messages", object_id, _plain(after, metadata=True))
        message = _plain(after, metadata=False)
        return {"channel": channel["id"], "ts": before["ts"], "text": after["text"], "message": message}

    def delete_message(self, arguments: Arguments, _request: Request) -> Answer:
        """Delete a message."""
        channel = self._channel(arguments, member=True)
        message = self._message(channel["id"], arguments.get("ts"))
        object_id = f"{channel['id']}:{message['ts']}"
        self._emulator.delete("messages", object_id)
        self._emulator.effect("message.deleted", "messages", object_id, {"ts": message["ts"]})
        return {"channel": channel["id"], "ts": message["ts"]}

    def history(self, arguments: Arguments, request: Request) -> Answer:
        """A page of a channel's messages, newest first."""
        channel = self._channel(arguments, member=True)["id"]
        page = self._page("listed", channel, arguments, request, newest_first=True)
        return {**page, "pin_count": 0, "channel_actions_ts": None, "channel_actions_count": 0}

    def replies(self, arguments: Arguments, request: Request) -> Answer:
        """A page of a thread, oldest first, starting with its parent."""
        channel = self._channel(arguments, member=True)["id"]
        ts = arguments.get("ts")
        if self._emulator.get("messages", f"{channel}:{ts}") is None:
            raise SlackError("thread_not_found")
        return self._page("thread", f"{channel}:{ts}", arguments, request, newest_first=False)

    def _page(self, field: str, value: str, arguments: Arguments, request: Request, *, newest_first: bool) -> Answer:
        limit = min(_MAX_PAGE, int(arguments.get("limit") or 100))
        offset = _offset(arguments.get("cursor"))
        repeated = offset > 0 and self._emulator.fault_active("duplicate_page", request) is not None
        begin = max(0, offset - limit) if repeated else offset
        metadata = str(arguments.get("include_all_metadata", "")).lower() in ("true", "1")
        found: list[Answer] = []
        position = 0
        while len(found) <= begin + limit:
            chunk = self._emulator.find_all(
                "messages", field, value, newest_first=newest_first, limit=_CHUNK, offset=position
            )
            position += _CHUNK
            found += [_plain(message, metadata=metadata) for message in chunk if _inside(message["ts"], arguments)]
            if len(chunk) < _CHUNK:
                break
        answer: Answer = {"messages": found[begin : begin + limit], "has_more": len(found) > offset + limit}
        if answer["has_more"]:
            answer["response_metadata"] = {"next_cursor": _cursor(offset + limit)}
        return answer

    def channel_info(self, arguments: Arguments, _request: Request) -> Answer:
        """One channel."""
        return {"channel": self._channel(arguments, member=False)}

    def channel_list(self, arguments: Arguments, _request: Request) -> Answer:
        """A page of the channels."""
        limit, offset = int(arguments.get("limit") or 100), _offset(arguments.get("cursor"))
        channels = self._emulator.list("channels")
        more = len(channels) > offset + limit
        cursor = {"next_cursor": _cursor(offset + limit) if more else ""}
        return {"channels": channels[offset : offset + limit], "response_metadata": cursor}

    def get_reactions(self, arguments: Arguments, _request: Request) -> Answer:
        """A message with its reactions."""
        channel = self._channel(arguments, member=False)["id"]
        message = self._message(channel, arguments.get("timestamp"))
        return {"type": "message", "channel": channel, "message": _plain(message, metadata=False)}

    def add_reaction(self, arguments: Arguments, _request: Request) -> Answer:
        """React to a message, once per emoji."""
        channel = self._channel(arguments, member=True)["id"]
        message = self._message(channel, arguments.get("timestamp"))
        name = str(arguments.get("name") or "")
        if not name:
            raise SlackError("invalid_name")
        reactions = message.get("reactions", [])
        if any(reaction["name"] == name for reaction in reactions):
            raise SlackError("already_reacted")
        message["reactions"] = [*reactions, {"name": name, "users": [BOT_USER], "count": 1}]
        object_id = f"{channel}:{message['ts']}"
        self._emulator.put("messages", object_id, message)
        self._emulator.effect("reaction.added", "messages", object_id, {"name": name})
        return {}


def _ts(micros: int) -> str:
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def _plain(message: Answer, *, metadata: bool) -> Answer:
    hidden = {"channel", "thread", "listed"} | (set() if metadata else {"metadata"})
    return {name: value for name, value in message.items() if name not in hidden}


def _comparable(message: Answer) -> Answer:
    blocks = [{**block, "block_id": ""} for block in message.get("blocks", [])]
    return {**message, "blocks": blocks, "edited": None}


def _inside(ts: str, arguments: Arguments) -> bool:
    moment, oldest, latest = float(ts), float(arguments.get("oldest") or 0), float(arguments.get("latest") or "inf")
    if str(arguments.get("inclusive", "")).lower() in ("true", "1"):
        return oldest <= moment <= latest
    return oldest < moment < latest


def _cursor(offset: int) -> str:
    return base64.b64encode(f"next:{offset}".encode()).decode()


def _offset(cursor: Any) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(str(cursor)).decode().removeprefix("next:"))
    except ValueError:
        raise SlackError("invalid_cursor") from None


def _authorship(arguments: Arguments) -> Answer:
    """The name and icon that an app with chat:write.customize shows a message under."""
    shown: Answer = {"username": str(arguments["username"])} if arguments.get("username") else {}
    return shown | ({"icons": {"image_url": str(arguments["icon_url"])}} if arguments.get("icon_url") else {})
