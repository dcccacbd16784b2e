"""A rotation of the master key: every record under the new one, then the old ones retired."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.keys import (
        KeysRetired,
        RetireKeys,
        RewrapRows,
        RotateKeysInput,
        RotateKeysResult,
        RotationBegun,
        RowsRewrapped,
    )
    from contracts.names import WorkflowType
    from workflows import policies
    from workflows.visibility import failure, tag

_PASSES = 10
"""A record written under an old key while rows are rewrapped costs another pass; so many say that somebody keeps on."""


@workflow.defn(name=WorkflowType.ROTATE_KEYS)
class RotateKeys:
    """Rewraps step by step, as often as new rows under an old key appear, until none is left."""

    @workflow.run
    async def run(self, request: RotateKeysInput) -> RotateKeysResult:
        """Return what was rewrapped and retired.

        Raises:
            ApplicationError: some process keeps on sealing under an old key.
        """
        tag(run_kind="keys", outcome="running")
        if request.passes == 0 and request.cursor is None:
            begun: RotationBegun = await workflow.execute_activity(
                "keys.begin",
                request,
                result_type=RotationBegun,
                summary="Make a root key for the new master key",
                **policies.STORE.options(),
            )
            request = request.model_copy(update={"before": begun.before})
        while request.passes < _PASSES:
            request = await self._one_pass(request)
            found = await self._retire(request)
            if found.left == 0:
                tag(outcome="success")
                return RotateKeysResult(
                    key_id=request.key_id, records=found.records, rewrapped=request.rewrapped, retired=request.before
                )
        tag(outcome="failed")
        raise failure(
            ErrorDetail(
                kind=ErrorKind.PERMANENT,
                code="old_master_key_in_use",
                message="Some process keeps on sealing records under an old master key.",
                owner=Owner.OPERATOR,
                action="Give every process the new key as its newest, then rotate again; nothing is lost meanwhile.",
            )
        )

    async def _one_pass(self, request: RotateKeysInput) -> RotateKeysInput:
        while True:
            step: RowsRewrapped = await workflow.execute_activity(
                "keys.rewrap",
                RewrapRows(key_id=request.key_id, cursor=request.cursor),
                result_type=RowsRewrapped,
                summary="Wrap record keys under the new master key",
                **policies.REWRAP.options(),
            )
            done = request.rewrapped + step.rewrapped
            request = request.model_copy(update={"cursor": step.cursor, "rewrapped": done})
            workflow.set_current_details(f"{done:,} records are under the key {request.key_id}.")
            if step.cursor is None:
                return request.model_copy(update={"passes": request.passes + 1})
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request)

    async def _retire(self, request: RotateKeysInput) -> KeysRetired:
        retired: KeysRetired = await workflow.execute_activity(
            "keys.retire",
            RetireKeys(key_id=request.key_id, before=request.before),
            result_type=KeysRetired,
            summary="Retire the old master keys",
            **policies.STORE.options(),
        )
        return retired
