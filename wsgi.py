"""Entry point: `gunicorn wsgi:app`, `celery -A wsgi:celery`, `flask --app wsgi`."""

from app import create_app
from workers.celery_app import celery_of

app = create_app()
celery = celery_of(app)
