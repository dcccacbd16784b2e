"""Keep delivery receipts"""

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'delivery_receipts',
        sa.Column('organization_id', sa.String(length=64), primary_key=True),
        sa.Column('effect_id', sa.String(length=64), primary_key=True),
        sa.Column('integration_id', sa.String(length=64), nullable=False),
        sa.Column('notification_id', sa.String(length=64), nullable=True),
        sa.Column('delivered', sa.Boolean(), nullable=False),
        sa.Column('code', sa.String(length=64), nullable=False),
        sa.Column('told_at', sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index('ix_delivery_receipts_notification_id', 'delivery_receipts', ['notification_id'])


def downgrade() -> None:
    op.drop_table('delivery_receipts')
