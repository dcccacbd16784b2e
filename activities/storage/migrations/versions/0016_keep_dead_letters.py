"""Keep dead letters"""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'dead_letters',
        sa.Column('organization_id', sa.String(length=64), primary_key=True),
        sa.Column('letter_id', sa.String(length=64), primary_key=True),
        sa.Column('integration_id', sa.String(length=64), nullable=False),
        sa.Column('object_type', sa.String(length=255), nullable=False),
        sa.Column('report_id', sa.String(length=64), nullable=False),
        sa.Column('record_id', sa.String(length=64), nullable=False),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('run_id', sa.String(length=64), nullable=False),
        sa.Column('final', sa.Boolean(), nullable=False),
        sa.Column('strategy', sa.String(length=16), nullable=False),
        sa.Column('asks', sa.String(length=64), nullable=True),
        sa.Column('decision', sa.String(length=16), nullable=True),
        sa.Column('decided_by', sa.String(length=64), nullable=True),
        sa.Column('first_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('last_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('sealed', sa.LargeBinary(), nullable=False),
    )
    op.create_index(
        'ix_dead_letters_report', 'dead_letters', ['organization_id', 'integration_id', 'object_type', 'report_id']
    )


def downgrade() -> None:
    op.drop_table('dead_letters')
