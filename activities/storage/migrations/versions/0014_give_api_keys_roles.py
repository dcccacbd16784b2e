"""Give API keys roles"""

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('api_keys', sa.Column('role', sa.String(length=16), nullable=False, server_default='operator'))


def downgrade() -> None:
    op.drop_column('api_keys', 'role')
