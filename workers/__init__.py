"""The Celery entry point: pipeline, relay, sweeper, schedule."""
