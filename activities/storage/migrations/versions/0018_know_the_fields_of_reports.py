"""Know the fields of reports"""

import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'report_schemas',
        sa.Column('organization_id', sa.String(length=64), primary_key=True),
        sa.Column('integration_id', sa.String(length=64), primary_key=True),
        sa.Column('object_type', sa.String(length=255), primary_key=True),
        sa.Column('report_id', sa.String(length=64), primary_key=True),
        sa.Column('fields', sa.Text(), nullable=False),
        sa.Column('known_at', sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table('report_schemas')
