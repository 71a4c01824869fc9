"""MinIO, or any S3, as the place of the runs' files."""

from __future__ import annotations

import os

from app.settings import Settings


def prepare(settings: Settings) -> str:
    """Points MLflow at the endpoint, makes the bucket if it is missing; gives its location.

    MLflow reads endpoint and keys from the environment and offers no other way.
    Raises what boto3 raises when the endpoint does not answer within seconds.
    """
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import ClientError

    endpoint = settings.minio_endpoint
    if "://" not in endpoint:
        endpoint = f"{'https' if settings.minio_secure else 'http'}://{endpoint}"
    os.environ["MLFLOW_S3_ENDPOINT_URL"] = endpoint
    os.environ["AWS_ACCESS_KEY_ID"] = settings.minio_access_key.get_secret_value()
    os.environ["AWS_SECRET_ACCESS_KEY"] = settings.minio_secret_key.get_secret_value()
    session = botocore.session.get_session()
    session.set_default_client_config(
        Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
    )
    boto3.setup_default_session(botocore_session=session)
    client = boto3.client("s3", endpoint_url=endpoint)
    try:
        client.head_bucket(Bucket=settings.minio_bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=settings.minio_bucket)
    return f"s3://{settings.minio_bucket}/moescope"
