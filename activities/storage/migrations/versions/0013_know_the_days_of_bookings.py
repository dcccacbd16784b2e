"""Know the days of bookings"""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('mirror_bookings') as batch:
        batch.add_column(sa.Column('day', sa.Date(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('mirror_bookings') as batch:
        batch.drop_column('day')
