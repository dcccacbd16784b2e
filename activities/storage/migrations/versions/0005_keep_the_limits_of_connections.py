"""Keep the limits of connections"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('connection_limits',
    sa.Column('organization_id', sa.String(length=64), nullable=False),
    sa.Column('integration_id', sa.String(length=64), nullable=False),
    sa.Column('place', sa.String(length=64), nullable=False),
    sa.Column('requests', sa.Integer(), nullable=True),
    sa.Column('per_s', sa.Double(), nullable=True),
    sa.Column('standing', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('organization_id', 'integration_id')
    )


def downgrade() -> None:
    op.drop_table('connection_limits')
