"""Tell both sides of a record"""

import sqlalchemy as sa
from alembic import op

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('record_receipts', sa.Column('target_fingerprint', sa.String(length=64), nullable=True))
    op.add_column('record_receipts', sa.Column('report_id', sa.String(length=64), nullable=True))
    op.add_column('record_receipts', sa.Column('source_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('record_receipts', 'source_at')
    op.drop_column('record_receipts', 'report_id')
    op.drop_column('record_receipts', 'target_fingerprint')
