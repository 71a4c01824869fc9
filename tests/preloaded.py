"""What the process has imported that tests/forked.py forks from: all that the app needs."""

import os
from importlib import import_module

from app.recording.tracking import ENVIRONMENT

# MLflow reads it when it is imported.
os.environ.update(ENVIRONMENT)

for name in (
    "mlflow.store.artifact.s3_artifact_repo",
    "mlflow.store.tracking.sqlalchemy_store",
    "transformers.models.switch_transformers.modeling_switch_transformers",
    "app.server",
    "app.__main__",
    "tests.integration.crashing",
):
    import_module(name)
