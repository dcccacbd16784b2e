"""Follow notifications"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('notification_states',
    sa.Column('organization_id', sa.String(length=64), nullable=False),
    sa.Column('notification_id', sa.String(length=64), nullable=False),
    sa.Column('integration_id', sa.String(length=64), nullable=False),
    sa.Column('rank', sa.Integer(), nullable=False),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('organization_id', 'notification_id', 'integration_id')
    )


def downgrade() -> None:
    op.drop_table('notification_states')
