"""The shared kernel: database, outbox, errors, API plumbing, logging. It knows no feature."""
