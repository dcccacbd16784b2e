"""Follow the life of credentials"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('connections', schema=None) as batch_op:
        batch_op.add_column(sa.Column('credential_expires_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('refused_version', sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column('refused_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('connections', schema=None) as batch_op:
        batch_op.drop_column('refused_at')
        batch_op.drop_column('refused_version')
        batch_op.drop_column('credential_expires_at')
