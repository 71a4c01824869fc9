"""What the process has imported that tests/forked.py forks from: all that the app needs."""

from importlib import import_module

for name in (
    "app.recording",
    "mlflow.store.artifact.s3_artifact_repo",
    "mlflow.store.tracking.sqlalchemy_store",
    "transformers.models.switch_transformers.modeling_switch_transformers",
    "app.server",
    "app.__main__",
    "tests.integration.crashing",
):
    import_module(name)
