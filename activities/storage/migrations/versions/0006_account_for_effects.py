"""Account for effects"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('effects') as batch:
        batch.add_column(sa.Column('object_id', sa.String(length=255), nullable=True))
        batch.add_column(sa.Column('notification_id', sa.String(length=64), nullable=True))
        batch.add_column(sa.Column('wedding_id', sa.String(length=64), nullable=True))
        batch.add_column(sa.Column('attempts', sa.Integer(), nullable=False, server_default='1'))
        batch.add_column(sa.Column('retracted_at', sa.DateTime(timezone=True), nullable=True))
        batch.alter_column('owner', existing_type=sa.String(length=128), type_=sa.String(length=255))
        batch.create_index('ix_effects_notification_id', ['notification_id'])
        batch.create_index('ix_effects_wedding_id', ['wedding_id'])


def downgrade() -> None:
    with op.batch_alter_table('effects') as batch:
        batch.alter_column('owner', existing_type=sa.String(length=255), type_=sa.String(length=128))
        batch.drop_index('ix_effects_wedding_id')
        batch.drop_index('ix_effects_notification_id')
        for name in ('retracted_at', 'attempts', 'wedding_id', 'notification_id', 'object_id'):
            batch.drop_column(name)
