"""Watch health"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('alert_routes',
    sa.Column('organization_id', sa.String(length=64), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('organization_id')
    )
    op.create_table('health_states',
    sa.Column('organization_id', sa.String(length=64), nullable=False),
    sa.Column('integration_id', sa.String(length=64), nullable=False),
    sa.Column('word', sa.String(length=16), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('suspected', sa.String(length=16), nullable=True),
    sa.Column('streak', sa.Integer(), nullable=False),
    sa.Column('watched_since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('checked_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('took_ms', sa.Float(), nullable=False),
    sa.Column('latencies', sa.Text(), nullable=False),
    sa.Column('metrics', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('organization_id', 'integration_id')
    )
    op.create_table('health_alarms',
    sa.Column('alarm_id', sa.String(length=64), nullable=False),
    sa.Column('organization_id', sa.String(length=64), nullable=False),
    sa.Column('integration_id', sa.String(length=64), nullable=False),
    sa.Column('family', sa.String(length=16), nullable=False),
    sa.Column('platform', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('rank', sa.Integer(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('sentence', sa.Text(), nullable=False),
    sa.Column('incident_id', sa.String(length=64), nullable=True),
    sa.Column('outage_id', sa.String(length=64), nullable=True),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('closed_as', sa.String(length=32), nullable=True),
    sa.PrimaryKeyConstraint('alarm_id')
    )
    op.create_index('ix_health_alarms_place', 'health_alarms', ['organization_id', 'integration_id', 'closed_at'])
    op.create_index('ix_health_alarms_open', 'health_alarms', ['closed_at', 'incident_id'])
    op.create_index('ix_health_alarms_incident_id', 'health_alarms', ['incident_id'])
    op.create_index('ix_health_alarms_outage_id', 'health_alarms', ['outage_id'])
    op.create_table('health_incidents',
    sa.Column('incident_id', sa.String(length=64), nullable=False),
    sa.Column('organization_id', sa.String(length=64), nullable=False),
    sa.Column('platform', sa.String(length=40), nullable=False),
    sa.Column('is_outage', sa.Boolean(), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('rank', sa.Integer(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('told_rank', sa.Integer(), nullable=True),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('done_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('incident_id')
    )
    op.create_index('ix_health_incidents_done_at', 'health_incidents', ['done_at'])
    op.create_table('sync_runs',
    sa.Column('organization_id', sa.String(length=64), nullable=False),
    sa.Column('integration_id', sa.String(length=64), nullable=False),
    sa.Column('run_id', sa.String(length=64), nullable=False),
    sa.Column('series', sa.String(length=255), nullable=False),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('records', sa.Integer(), nullable=True),
    sa.Column('weekday', sa.Integer(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('organization_id', 'integration_id', 'run_id')
    )
    op.create_index('ix_sync_runs_at', 'sync_runs', ['organization_id', 'integration_id', 'at'])


def downgrade() -> None:
    for name in ('sync_runs', 'health_incidents', 'health_alarms', 'health_states', 'alert_routes'):
        op.drop_table(name)
