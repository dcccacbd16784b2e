"""What every connector that delivers promises, as tests that a connector's own test class inherits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from activities.ports.connection import Connection
from activities.ports.delivery import DeliveryConnector
from activities.ports.manifest import EffectGuarantee
from contracts.effects import Delivery, EffectStep
from contracts.errors import AuthExpired, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.deliveries import PRIVATE_WORDS, connection, delivery
from tests.support.emulators import Emulators

_NO_ANSWER = ["reset", "truncate", "hang", "slow_body", "garbage", "html_login_page"]


@contextmanager
def raises_typed() -> Iterator[list[WedSyncError]]:
    """Collect the one typed error of a block, which tells no secret and nothing personal."""
    found: list[WedSyncError] = []
    with pytest.raises(WedSyncError) as caught:
        yield found
    found.append(caught.value)
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in (*PRIVATE_WORDS, "+447") if word in told]


class DeliverySuite:
    """The promises; a subclass named `Test...` says whose they are."""

    connector_class: ClassVar[type[DeliveryConnector]]
    credential: ClassVar[dict[str, str]]
    settings: ClassVar[dict[str, Any]] = {}
    target: ClassVar[dict[str, Any]] = {}
    write_path: ClassVar[str]
    """Regular expression of the path that a delivery is written to."""
    write_method: ClassVar[str] = "POST"
    created: ClassVar[str]
    """The kind of the emulator's ledger entry of one delivery."""

    @property
    def system(self) -> str:
        return self.connector_class.manifest.system

    def opened(self, base_url: str, **changed: Any) -> DeliveryConnector:
        given = connection(self.system, base_url, self.credential, **self.settings)
        return self.connector_class(replace(given, **changed))

    def delivery(self) -> Delivery:
        wanted = delivery(self.system, target=self.target)
        return wanted.model_copy(update={"occurred_at": datetime.now(UTC)})

    def step(self, connector: DeliveryConnector) -> EffectStep:
        [step] = connector.plan(self.delivery())
        return step

    def applied(self, emulators: Emulators) -> int:
        return sum(one["kind"] == self.created for one in emulators.effects(self.system))

    def fault(self, emulators: Emulators, kind: str, **rule: Any) -> None:
        emulators.fault(self.system, kind, method=self.write_method, path=self.write_path, **rule)

    @pytest.fixture
    async def connector(self, emulators: Emulators):
        opened = self.opened(emulators.base_url(self.system))
        yield opened
        await opened.aclose()

    def test_the_same_delivery_plans_the_same_effects_without_asking_anybody(self) -> None:
        wanted = self.delivery()
        first, second = (self.opened("http://127.0.0.1:9").plan(wanted) for _ in range(2))
        assert first == second

    async def test_the_probe_answers_and_changes_nothing(
        self, connector: DeliveryConnector, emulators: Emulators
    ) -> None:
        assert (await connector.probe()).ok
        assert emulators.effects(self.system) == []

    async def test_one_delivery_is_one_effect(self, connector: DeliveryConnector, emulators: Emulators) -> None:
        outcome = await connector.apply(self.step(connector))
        assert outcome.remote_id
        assert self.applied(emulators) == 1

    async def test_f21_an_effect_whose_answer_is_lost_stands_once_after_the_retry(
        self, connector: DeliveryConnector, emulators: Emulators
    ) -> None:
        step = self.step(connector)
        self.fault(emulators, "drop_after_effect", count=1)
        with raises_typed() as found:
            await connector.apply(step)
        assert type(found[0]) is OutcomeUnknown
        standing = await connector.find(step)
        guarantee = connector.manifest.guarantee
        if guarantee is EffectGuarantee.LOOK_BEFORE_RETRY:
            assert standing is not None
            assert standing.replayed
        elif guarantee is not EffectGuarantee.AT_MOST_ONCE:
            await connector.apply(step)
        assert self.applied(emulators) == 1

    async def test_an_effect_that_never_stood_is_not_found(self, connector: DeliveryConnector) -> None:
        assert await connector.find(self.step(connector)) is None

    @pytest.mark.parametrize("fault", _NO_ANSWER)
    async def test_f22_f23_f24_f25_a_write_without_a_usable_answer_is_unknown(
        self, connector: DeliveryConnector, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, fault: str
    ) -> None:
        monkeypatch.setattr(connector._http, "_timeout_s", 0.5)  # type: ignore[attr-defined]
        self.fault(emulators, fault, count=1)
        with raises_typed() as found:
            await connector.apply(self.step(connector))
        assert type(found[0]) is OutcomeUnknown

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, AuthExpired), (403, Permanent), (404, Permanent), (500, OutcomeUnknown), (503, OutcomeUnknown)],
    )
    async def test_each_refused_write_becomes_the_error_that_recovers(
        self, connector: DeliveryConnector, emulators: Emulators, status: int, kind: type[WedSyncError]
    ) -> None:
        self.fault(emulators, "status", status=status)
        with raises_typed() as found:
            await connector.apply(self.step(connector))
        assert isinstance(found[0], kind)

    @pytest.mark.parametrize("fault", ["expire_token", "revoke_token"])
    async def test_f32_a_credential_that_is_refused_asks_for_a_new_connection(
        self, connector: DeliveryConnector, emulators: Emulators, fault: str
    ) -> None:
        emulators.fault(self.system, fault)
        with raises_typed() as found:
            await connector.apply(self.step(connector))
        assert type(found[0]) is AuthExpired

    async def test_f18_the_wait_the_vendor_asks_for_is_kept(
        self, connector: DeliveryConnector, emulators: Emulators
    ) -> None:
        emulators.fault(self.system, "rate_limit", retryAfter=7)
        with raises_typed() as found:
            await connector.apply(self.step(connector))
        assert (type(found[0]), found[0].detail.retry_after_s) == (RateLimited, 7)

    async def test_a_server_that_is_not_there_may_be_tried_again(self) -> None:
        nobody = self.opened("http://127.0.0.1:9")
        with raises_typed() as found:
            await nobody.apply(self.step(nobody))
        assert (type(found[0]), found[0].detail.code) == (Transient, "vendor_unreachable")
        await nobody.aclose()

    async def test_every_request_asks_for_admission_first(self, emulators: Emulators) -> None:
        class Closed:
            async def admit(self, calls: int = 1) -> None:
                raise RateLimited("limit_reached", "The limit is used up.", retry_after_s=3)

            async def give_back(self, calls: int) -> None: ...

        shut = self.opened(emulators.base_url(self.system), admission=Closed())
        for ask in (lambda: shut.apply(self.step(shut)), shut.probe):
            with raises_typed() as found:
                await ask()
            assert type(found[0]) is RateLimited
        assert emulators.requests(self.system) == []
        await shut.aclose()

    async def test_another_credential_is_refused(self, emulators: Emulators) -> None:
        wrong: Connection = connection(
            self.system,
            emulators.base_url(self.system),
            {**self.credential, **{name: "wrong" for name in self.credential if "Sid" not in name}},
            **self.settings,
        )
        stranger = self.connector_class(wrong)
        with raises_typed() as found:
            await stranger.probe()
        assert type(found[0]) is AuthExpired
        await stranger.aclose()
