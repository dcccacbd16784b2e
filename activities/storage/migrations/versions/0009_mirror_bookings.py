"""Mirror bookings"""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def _owner(key: str = '') -> list[sa.Column[str]]:
    names = ['organization_id', 'integration_id', *([key] if key else [])]
    return [sa.Column(name, sa.String(length=64), primary_key=True) for name in names]


def upgrade() -> None:
    op.create_table(
        'mirror_bookings',
        *_owner('booking_id'),
        sa.Column('closed', sa.Boolean(), nullable=False),
        sa.Column('version', sa.String(length=64), nullable=False),
        sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        'mirror_sessions',
        *_owner('session_id'),
        sa.Column('booking_id', sa.String(length=64), nullable=False),
        sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('time_zone', sa.String(length=64), nullable=False),
        sa.Column('confirmed', sa.Boolean(), nullable=False),
        sa.Column('version', sa.String(length=64), nullable=False),
        sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index('ix_mirror_sessions_booking_id', 'mirror_sessions', ['booking_id'])
    op.create_index('ix_mirror_sessions_time', 'mirror_sessions', ['organization_id', 'integration_id', 'starts_at'])
    op.create_table(
        'mirror_assignments',
        *_owner('assignment_id'),
        sa.Column('booking_id', sa.String(length=64), nullable=False),
        sa.Column('resource_id', sa.String(length=64), nullable=False),
        sa.Column('kind', sa.String(length=64), nullable=False),
        sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index('ix_mirror_assignments_resource_id', 'mirror_assignments', ['resource_id'])
    op.create_table(
        'mirror_reads',
        *_owner(),
        sa.Column('read_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('whole_at', sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        'slot_holds',
        *_owner('resource_id'),
        sa.Column('day', sa.Date(), primary_key=True),
        sa.Column('hold_id', sa.String(length=64), primary_key=True),
        sa.Column('booking_id', sa.String(length=64), primary_key=True),
        sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    )


def downgrade() -> None:
    for name in ('slot_holds', 'mirror_reads', 'mirror_assignments', 'mirror_sessions', 'mirror_bookings'):
        op.drop_table(name)
