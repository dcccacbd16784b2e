"""Keep automations"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'automation_definitions',
        sa.Column('organization_id', sa.String(length=64), primary_key=True),
        sa.Column('definition_id', sa.String(length=64), primary_key=True),
        sa.Column('version', sa.Integer(), primary_key=True),
        sa.Column('enabled', sa.Boolean(), nullable=False),
        sa.Column('sealed', sa.LargeBinary(), nullable=False),
        sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        'automation_runs',
        sa.Column('organization_id', sa.String(length=64), primary_key=True),
        sa.Column('orchestration_id', sa.String(length=64), primary_key=True),
        sa.Column('wedding_id', sa.String(length=64), nullable=True),
        sa.Column('registered_at', sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index('ix_automation_runs_wedding_id', 'automation_runs', ['wedding_id'])


def downgrade() -> None:
    op.drop_table('automation_runs')
    op.drop_table('automation_definitions')
