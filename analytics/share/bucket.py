"""S3-compatible storage: one object a file, written once, under names that are the same for the same release.

Nothing there is ever replaced: every write carries `If-None-Match: *`. A run that was killed is resumed object by
object, a large object part by part. The manifest is written last. boto3 comes with the extra `s3`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from analytics.share import guard
from analytics.share.parcel import DeliveryFailed, Parcel, missing_extra

PART_BYTES: Final = 8 * 1024 * 1024
SECONDS: Final = 60.0
SECRETS: Final = {
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}
TYPES: Final = {".json": "application/json", ".csv": "text/csv; charset=utf-8"}
AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


def deliver(parcel: Parcel, environment: Mapping[str, str]) -> str:
    """Put every file under `s3://bucket/prefix/SITE/PERIOD/`. Raises DeliveryFailed."""
    parts = urlsplit(parcel.where)
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise DeliveryFailed(f"{parcel.where}: write s3://bucket/prefix", temporary=False)
    prefix = "/".join(filter(None, (unquote(parts.path).strip("/"), parcel.site, parcel.stem)))
    from_file = {name: value for name, value in parcel.secrets(environment, SECRETS).items() if parcel.secrets_file}
    client = _client(parcel, from_file)
    from botocore.exceptions import BotoCoreError, ClientError

    keys = {f"{prefix}/{name}": parcel.files[name] for name in parcel.names_in_order}
    try:
        # Every name is looked at before the first is written: a package of somebody else's is not mixed with ours.
        missing = [key for key, content in keys.items() if not _is_there(client, parts.netloc, key, content)]
        for key in missing:
            _put(client, parts.netloc, key, keys[key])
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        told = error.response.get("Error", {})
        raise DeliveryFailed(
            f"{parts.netloc}: {status} {told.get('Code', '')} {told.get('Message', '')}".strip(),
            temporary=status in AGAIN,
        ) from None
    except BotoCoreError as error:
        certificate = "CERTIFICATE_VERIFY_FAILED" in str(error)
        known = type(error).__name__ not in ("NoCredentialsError", "PartialCredentialsError", "ParamValidationError")
        raise DeliveryFailed(f"{parts.netloc}: {error}", temporary=known and not certificate) from None
    except OSError as error:
        raise DeliveryFailed(f"{parts.netloc}: {error}", temporary=True) from None
    finally:
        client.close()
    state = "written" if missing else "there already"
    return f"{state}: s3://{parts.netloc}/{prefix}/"


def _client(parcel: Parcel, secrets: Mapping[str, str]) -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise missing_extra("s3:", "s3") from None
    if parcel.endpoint:
        _check(parcel)
    credentials = {
        "aws_access_key_id": secrets.get("access_key_id"),
        "aws_secret_access_key": secrets.get("secret_access_key"),
        "aws_session_token": secrets.get("session_token"),
    }
    config = Config(
        connect_timeout=SECONDS,
        read_timeout=SECONDS,
        retries={"total_max_attempts": 1},  # the outbox tries again, and knows when
        request_checksum_calculation="when_required",  # other makers' services know the plain form only
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if parcel.endpoint else {},
        proxies={} if parcel.endpoint else None,  # the address that was checked, and no way around it
    )
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=parcel.endpoint or None,
            region_name=parcel.region or ("us-east-1" if parcel.endpoint else None),
            verify=parcel.ca_path or True,
            config=config,
            **credentials,
        )
    except (BotoCoreError, ValueError) as error:
        raise DeliveryFailed(f"{parcel.where}: {error}", temporary=False) from None


def _check(parcel: Parcel) -> None:
    """The service's own address is under the same rules as any server's.

    boto3 resolves the name once more. That another address could be answered then helps nobody: the certificate of the
    name is verified before a byte of ours is sent.
    """
    parts = urlsplit(parcel.endpoint)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.username:
        raise DeliveryFailed(f"{parcel.endpoint}: recipient.endpoint is an https address", temporary=False)
    try:
        guard.resolve(parts.hostname, parts.port or 443, allow_private=parcel.allow_private)
    except guard.AddressRefused as error:
        raise DeliveryFailed(str(error), temporary=error.temporary) from None


def _put(client: Any, bucket: str, key: str, content: bytes) -> None:
    """Write one object where there is none. Raises DeliveryFailed when another one was put there meanwhile."""
    from botocore.exceptions import ClientError

    kind = TYPES.get(key[key.rfind(".") :], "application/octet-stream")
    described = {"Bucket": bucket, "Key": key, "ContentType": kind, "Metadata": {"sha256": _digest(content)}}
    try:
        if len(content) > PART_BYTES:
            _put_in_parts(client, described, content)
        else:
            client.put_object(**described, Body=content, IfNoneMatch="*")
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "PreconditionFailed":
            raise
        _is_there(client, bucket, key, content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_there(client: Any, bucket: str, key: str, content: bytes) -> bool:
    """Whether this very object is there. Raises DeliveryFailed when another one has its name."""
    from botocore.exceptions import ClientError

    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return False
        raise
    if found.get("Metadata", {}).get("sha256") != _digest(content):
        raise DeliveryFailed(f"s3://{bucket}/{key}: another object is there; it is not replaced", temporary=False)
    return True


def _put_in_parts(client: Any, described: dict[str, Any], content: bytes) -> None:
    """A multipart upload that goes on where a killed run stopped; what others left under the name is not touched."""
    place = {"Bucket": described["Bucket"], "Key": described["Key"]}
    upload = _unfinished(client, place) or client.create_multipart_upload(**described)["UploadId"]
    known: dict[int, str] = {}
    for page in client.get_paginator("list_parts").paginate(**place, UploadId=upload):
        known |= {part["PartNumber"]: part["ETag"] for part in page.get("Parts", ())}
    parts = []
    for number, start in enumerate(range(0, len(content), PART_BYTES), 1):
        body = content[start : start + PART_BYTES]
        tag = known.get(number, "")
        if tag.strip('"') != hashlib.md5(body, usedforsecurity=False).hexdigest():
            tag = client.upload_part(**place, UploadId=upload, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": tag})
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")


def _unfinished(client: Any, place: dict[str, str]) -> str:
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=place["Bucket"], Prefix=place["Key"]):
        for upload in page.get("Uploads", ()):
            if upload["Key"] == place["Key"]:
                return str(upload["UploadId"])
    return ""
