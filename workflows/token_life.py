"""When a connection's access token is renewed."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.integration import CredentialRef
    from contracts.tokens import ObtainedToken, TokenState

MARGIN = 0.2
"""Share of its life that a token has left when it is renewed."""
JITTER = 0.05
"""Share of its life by which renewals are spread, so that connections made together are not renewed together."""
COOL_DOWN = timedelta(minutes=1)
"""Between two rounds of asking a vendor that does not answer."""
SETTLED = timedelta(minutes=10)
"""A token that worked for so long was a good one."""
REFUSALS_AT_MOST = 2
"""As many fresh tokens in a row may be refused before the tenant is asked."""


class TokenLife:
    """What is known about the token in use; instants are the Temporal server's, so that no worker's clock matters.

    Args:
        state: what the run before this one knew.
    """

    def __init__(self, state: TokenState | None) -> None:
        self.state = state
        self._refused: CredentialRef | None = None

    @property
    def expires_at(self) -> datetime | None:
        """When the token in use ends."""
        return self.state.expires_at if self.state else None

    def refused(self, ref: CredentialRef) -> None:
        """Take note that a vendor refused a credential during work."""
        self._refused = ref

    def refuses(self, ref: CredentialRef | None) -> bool:
        """Return whether the credential in use is the one that was refused."""
        return ref is not None and self._refused == ref

    def wait(self, now: datetime) -> timedelta | None:
        """Return the time until the token is to be renewed, none when it never is."""
        if self.state is None or self.state.renew_at is None:
            return None
        return max(self.state.renew_at - now, timedelta(0))

    def is_due(self, now: datetime) -> bool:
        """Return whether the token is to be renewed by now."""
        return self.wait(now) == timedelta(0)

    def obtained(self, token: ObtainedToken, now: datetime, spread: float) -> None:
        """Start counting anew.

        Args:
            token: what the store holds.
            now: the server's time.
            spread: a random number from 0 to 1.
        """
        soon = self.state is not None and now - self.state.obtained_at < SETTLED
        refusals = self.state.refusals + 1 if self._refused and soon and self.state else 0
        self._refused = None
        self.state = TokenState(obtained_at=now, refusals=refusals)
        if token.life_s is not None:
            life = timedelta(seconds=max(token.life_s, 0.0))
            renew_in = life * (1 - MARGIN - JITTER * spread)
            self.state = self.state.model_copy(update={"expires_at": now + life, "renew_at": now + renew_in})

    def postponed(self, now: datetime) -> None:
        """Ask again after a while: the vendor does not answer."""
        self._refused = None
        if self.state is None:
            self.state = TokenState(obtained_at=now)
        self.state = self.state.model_copy(update={"renew_at": now + COOL_DOWN})

    def accepted(self) -> None:
        """Take note that the vendor accepts the credential after all."""
        self._refused = None
        if self.state is not None and self.state.expires_at is None:
            self.state = self.state.model_copy(update={"renew_at": None})

    def ended(self) -> None:
        """Renew nothing until the tenant has connected again."""
        self.state = self._refused = None

    def is_hopeless(self, now: datetime) -> bool:
        """Return whether the vendor refuses even what it has just granted, time after time."""
        if self._refused is None or self.state is None:
            return False
        return self.state.refusals >= REFUSALS_AT_MOST and now - self.state.obtained_at < SETTLED
