"""An OAuth 2.0 authorisation server for emulated vendors: consent, tokens with PKCE, revocation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.oauth_control import control_routes
from emulators.oauth_grants import GRANT_TYPES, Grants, Issued, OAuthError, Standing

if TYPE_CHECKING:
    from starlette.requests import Request

    from emulators.core import Emulator

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_CONSENT = """<!doctype html><html><head><title>Grant access</title></head><body>
<p>The application {client} asks for: {scopes}.</p>
<form method="post">{fields}<button name="approve" value="1">Grant access</button>
<button name="approve" value="0">Refuse</button></form></body></html>"""


@dataclass(frozen=True)
class Vendor:
    """How one vendor does OAuth 2.0; paths are relative to the vendor's mount.

    `tokens` maps the path of a token endpoint to the grant types it takes. `answer` renders issued tokens, `refusal`
    an error; both get the address of the vendor's mount. `basic` says whether a client may name itself by HTTP Basic.
    `revocation_is_whole` says whether revoking a refresh token ends the access tokens made with it.
    """

    client_id: str
    client_secret: str
    authorize: tuple[str, ...]
    tokens: Mapping[str, tuple[str, ...]]
    revoke: tuple[str, ...]
    lifetime_s: float
    scopes: tuple[str, ...]
    answer: Callable[[Issued, str], dict[str, Any]]
    refusal: Callable[[OAuthError], dict[str, Any]]
    prefix: str = ""
    basic: bool = True
    revocation_is_whole: bool = True
    introspect: Mapping[str, Callable[[dict[str, Any] | None, dict[str, str]], dict[str, Any]]] | None = None


class AuthorisationServer:
    """The endpoints of one vendor.

    Source: RFC 6749 (framework), RFC 7636 (PKCE), RFC 7009 (revocation), RFC 7662 (introspection). The query or form
    parameter `approve` (1 or 0) answers the consent page and is the emulator's own.
    """

    def __init__(self, emulator: Emulator, vendor: Vendor) -> None:
        """Serve `vendor` over the emulator's state and add its control routes."""
        self._emulator, self._vendor = emulator, vendor
        self.grants = Grants(emulator, vendor.lifetime_s, vendor.prefix)
        emulator.control_routes += control_routes(emulator, self.grants, vendor.client_id, vendor.scopes, vendor.answer)

    def routes(self) -> list[BaseRoute]:
        """The vendor's OAuth routes."""
        vendor = self._vendor
        return [
            *[
                Route(path, self._named("authorize", self._authorize), methods=["GET", "POST"])
                for path in vendor.authorize
            ],
            *[Route(path, self._posted("token", self._token), methods=["POST"]) for path in vendor.tokens],
            *[Route(path, self._posted("revoke", self._revoke), methods=["POST"]) for path in vendor.revoke],
            *[
                Route(path, self._posted("introspect", self._introspect), methods=["POST"])
                for path in vendor.introspect or {}
            ],
        ]

    def standing(self, request: Request) -> Standing:
        """Whether the bearer token of an API request is live."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.grants.standing(token) if scheme.lower() in {"bearer", "oauth"} and token else "unknown"

    def _named(self, name: str, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            self._emulator.name_operation(request, f"oauth.{name}")
            answered: Response = await handler(request)
            return answered

        return endpoint

    def _posted(
        self, name: str, handler: Callable[[Request, dict[str, str]], tuple[int, dict[str, Any]]]
    ) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            form = _form(await request.body())
            try:
                with self._emulator.transaction():
                    try:
                        status, body = handler(request, form)
                    except OAuthError as error:
                        # A refusal may have revoked a family: what was written must stand.
                        self.grants.count(f"refusals/{error.error}")
                        status, body = error.status, self._vendor.refusal(error)
            except UnicodeDecodeError:
                status, body = 400, self._vendor.refusal(OAuthError("invalid_request", "the form cannot be read"))
            return JSONResponse(body, status, headers={"Cache-Control": "no-store"})

        return self._named(name, answer)

    async def _authorize(self, request: Request) -> Response:
        given = {**dict(request.query_params), **_form(await request.body())}
        try:
            redirect_uri = self._checked(given)
        except OAuthError as error:
            # Without a trusted redirect address the error is shown to the person, never sent anywhere.
            return HTMLResponse(f"<h1>{html.escape(error.error)}</h1><p>{html.escape(error.description)}</p>", 400)
        state = {"state": given["state"]} if "state" in given else {}
        try:
            _check_request(given)
        except OAuthError as error:
            return _back(redirect_uri, {"error": error.error, "error_description": error.description, **state})
        if "approve" not in given:
            return self._consent_page(given)
        if given["approve"] != "1":
            refused = {"error": "access_denied", "error_description": "end-user denied authorization"}
            return _back(redirect_uri, {**refused, **state})
        with self._emulator.transaction():
            challenge = given.get("code_challenge")
            code = self.grants.begin_code(given["client_id"], redirect_uri, self._scopes(given), challenge)
        return _back(redirect_uri, {"code": code, **state})

    def _checked(self, given: dict[str, str]) -> str:
        if given.get("client_id") != self._vendor.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid", about="client_id")
        redirect_uri = given.get("redirect_uri", "")
        registered = self.grants.settings()["redirectUris"]
        known = redirect_uri in registered if registered else urlsplit(redirect_uri).hostname in _LOOPBACK
        if not known or urlsplit(redirect_uri).fragment:
            message = "redirect_uri must match configuration"
            raise OAuthError("redirect_uri_mismatch", message, about="redirect_uri")
        return redirect_uri

    def _scopes(self, given: dict[str, str]) -> tuple[str, ...]:
        return tuple(given.get("scope", "").split()) or self._vendor.scopes

    def _consent_page(self, given: dict[str, str]) -> Response:
        fields = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in given.items()
        )
        scopes = html.escape(", ".join(self._scopes(given)))
        return HTMLResponse(_CONSENT.format(client=html.escape(given["client_id"]), scopes=scopes, fields=fields))

    def _token(self, request: Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        grant_type = form.get("grant_type", "")
        if grant_type in GRANT_TYPES:
            self.grants.count(f"requests/{grant_type}")
        if grant_type not in self._vendor.tokens[_own_path(request)]:
            raise OAuthError("unsupported_grant_type", "grant type not supported", about="grant_type")
        client_id = self._client(request, form)
        if grant_type == "authorization_code":
            issued = self._exchange(client_id, form)
        elif grant_type == "refresh_token":
            issued = self._refresh(request, client_id, form)
        else:
            issued = self.grants.issue(grant_type, client_id, self._scopes(form))
        return 200, self._vendor.answer(issued, _mount(request))

    def _exchange(self, client_id: str, form: dict[str, str]) -> Issued:
        held = self.grants.take_code(form.get("code", ""))
        if held["clientId"] != client_id:
            raise OAuthError("invalid_grant", "invalid authorization code", about="code")
        if held["redirectUri"] != form.get("redirect_uri"):
            message = "redirect_uri must match the one of the authorization request"
            raise OAuthError("invalid_grant", message, about="redirect_uri")
        if held["challenge"] is not None and not _verifies(held["challenge"], form.get("code_verifier", "")):
            raise OAuthError("invalid_grant", "invalid code verifier", about="code_verifier")
        return self.grants.issue("authorization_code", client_id, held["scopes"])

    def _refresh(self, request: Request, client_id: str, form: dict[str, str]) -> Issued:
        token = form.get("refresh_token", "")
        if self._emulator.fault_active("revoke_token", request):
            self.grants.revoke_token(token, whole_grant=True)
        return self.grants.refresh(token, client_id)

    def _client(self, request: Request, form: dict[str, str]) -> str:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        basic = _basic(request) if self._vendor.basic else None
        if basic is not None:
            client_id, secret = basic
        if client_id != self._vendor.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid", about="client_id")
        if not hmac.compare_digest(secret.encode(), self._vendor.client_secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials", about="client_secret")
        return client_id

    def _revoke(self, request: Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        del request
        if not self.grants.revoke_token(form.get("token", ""), whole_grant=self._vendor.revocation_is_whole):
            raise OAuthError("invalid_token", "invalid token", about="token")
        return 200, {}

    def _introspect(self, request: Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self._client(request, form)
        token = form.get("token", "")
        held = self.grants.access(token) or self.grants.refreshable(token)
        described = (self._vendor.introspect or {})[_own_path(request)]
        return 200, described(held, form)


def _check_request(given: dict[str, str]) -> None:
    if given.get("response_type", "code") != "code":
        raise OAuthError("unsupported_response_type", "response type must be code")
    if "code_challenge" in given and given.get("code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "code_challenge_method must be S256")


def _verifies(challenge: str, verifier: str) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote(client_id), unquote(secret)


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(), keep_blank_values=True))


def _own_path(request: Request) -> str:
    return str(request.url.path).removeprefix(str(request.scope.get("root_path", "")))


def _mount(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"


def _back(redirect_uri: str, parameters: dict[str, str]) -> Response:
    joint = "&" if urlsplit(redirect_uri).query else "?"
    return RedirectResponse(f"{redirect_uri}{joint}{urlencode(parameters)}", 302)
