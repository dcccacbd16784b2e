"""Gather lost messages"""

import sqlalchemy as sa
from alembic import op

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'lost_messages',
        sa.Column('organization_id', sa.String(length=64), primary_key=True),
        sa.Column('effect_id', sa.String(length=64), primary_key=True),
        sa.Column('integration_id', sa.String(length=64), nullable=False),
        sa.Column('system', sa.String(length=64), nullable=False),
        sa.Column('about', sa.String(length=64), nullable=False),
        sa.Column('wedding_id', sa.String(length=64)),
        sa.Column('since', sa.DateTime(timezone=True), nullable=False),
        sa.Column('reason', sa.Text(), nullable=False),
        sa.Column('action', sa.Text(), nullable=False),
        sa.Column('noted_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('alert_id', sa.String(length=64)),
        sa.Column('told_at', sa.DateTime(timezone=True)),
    )
    op.create_index('ix_lost_messages_alert_id', 'lost_messages', ['alert_id'])
    op.create_index('ix_lost_messages_place', 'lost_messages', ['organization_id', 'integration_id', 'alert_id'])


def downgrade() -> None:
    op.drop_table('lost_messages')
