"""Objects by bucket and key: files where BUCKETS names the folder that the buckets are in, objects in S3 elsewhere."""

import os
from pathlib import Path

BUCKETS = os.environ.get("BUCKETS")
if BUCKETS is None:
    import boto3

    S3 = boto3.client("s3")


def get(bucket, key):
    if BUCKETS is None:
        return S3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return Path(BUCKETS, bucket, key).read_bytes()


def put(bucket, key, data):
    if BUCKETS is None:
        S3.put_object(Bucket=bucket, Key=key, Body=data)
        return
    path = Path(BUCKETS, bucket, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    # As in S3, an object appears whole, and is the same when it is put a second time.
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(data)
    draft.replace(path)
