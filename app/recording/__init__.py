"""Keeping analyses: MLflow runs with their artifacts, and the formats they are exported in."""

import os

# MLflow reads these when it is imported, which happens here alone, and late.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # By default a store that does not answer holds a call for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}

for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
