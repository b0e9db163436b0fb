from analytics.cli import main
from consent_middleware.lazy import leave_by

leave_by(main)
