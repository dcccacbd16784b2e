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
        batch_op.add_column(sa.Column('refusal_settled', sa.Boolean(), nullable=True))
    op.create_table('authorizations',
    sa.Column('state_digest', sa.String(length=64), nullable=False),
    sa.Column('organization_id', sa.String(length=64), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('state_digest')
    )


def downgrade() -> None:
    op.drop_table('authorizations')
    with op.batch_alter_table('connections', schema=None) as batch_op:
        batch_op.drop_column('refusal_settled')
        batch_op.drop_column('refused_at')
        batch_op.drop_column('refused_version')
        batch_op.drop_column('credential_expires_at')
