"""Object storage by its official SDK: both ways to address it, both signatures, and every refusal by its code."""

import datetime
import hashlib
import os
import re
import socket
import time
import urllib.error
import urllib.request

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2.credentials import AnonymousCredentialsProvider, StaticCredentialsProvider

REGION = "cn-hangzhou"
MEBIBYTE = 1024 * 1024


def make_client(cloud, key=("local", "local"), region=REGION, host=None, **config):
    port = cloud.address.rpartition(":")[2]
    config.setdefault("use_path_style", host is None)
    provider = StaticCredentialsProvider(*key) if key else AnonymousCredentialsProvider()
    endpoint = f"http://{host or '127.0.0.1'}:{port}"
    return oss.Client(oss.config.Config(region=region, endpoint=endpoint, credentials_provider=provider, **config))


@pytest.fixture(scope="module", params=["v4", "v1", "v4 with signed headers", "virtual host"])
def client(request, cloud):
    """The same tests over each signature and address."""
    if request.param == "v1":
        return make_client(cloud, signature_version="v1")
    if request.param == "v4 with signed headers":
        return make_client(cloud, additional_headers=["host", "content-length", "user-agent"])
    if request.param == "virtual host":
        request.getfixturevalue("localhost_names")
        return make_client(cloud, host=f"oss-{REGION}.localhost")
    return make_client(cloud)


@pytest.fixture(scope="module")
def localhost_names():
    """Names below `localhost` are this machine (RFC 6761), which not every resolver knows."""
    look_up = socket.getaddrinfo

    def resolve(host, *rest, **named):
        return look_up("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield


def clear(client, name):
    for page in client.list_multipart_uploads_paginator().iter_page(oss.ListMultipartUploadsRequest(bucket=name)):
        for upload in page.uploads or []:
            client.abort_multipart_upload(
                oss.AbortMultipartUploadRequest(bucket=name, key=upload.key, upload_id=upload.upload_id))
    for page in client.list_objects_v2_paginator(limit=1000).iter_page(oss.ListObjectsV2Request(bucket=name)):
        keys = [oss.DeleteObject(key=found.key) for found in page.contents or []]
        if keys:
            client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket=name, objects=keys, quiet=True))


@pytest.fixture
def bucket(client):
    """A bucket of the test's own; gone afterwards with all that is in it."""
    name = f"conformance-{os.urandom(6).hex()}"
    client.put_bucket(oss.PutBucketRequest(bucket=name))
    yield name
    clear(client, name)
    client.delete_bucket(oss.DeleteBucketRequest(bucket=name))


def put(client, bucket, key, body=b"hello world", **more):
    return client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body, **more))


def body_of(client, bucket, key, **more):
    return client.get_object(oss.GetObjectRequest(bucket=bucket, key=key, **more)).body.content


def refused(call, *arguments, **named):
    """The error that a call ends with; whatever it is, it says which request and why."""
    with pytest.raises(oss.exceptions.OperationError) as raised:
        call(*arguments, **named)
    error = raised.value.unwrap()
    assert isinstance(error, oss.exceptions.ServiceError), error
    assert re.fullmatch("[0-9A-F]{24}", error.request_id)
    assert re.fullmatch(r"\d{4}-\d{8}", error.ec) or error.status_code == 304
    return error


def code(call, *arguments, **named):
    error = refused(call, *arguments, **named)
    return error.status_code, error.code


def fetch(url, method="GET", body=None, headers=None):
    """A plain request without any SDK: status, headers, body."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def code_of(answer):
    status, _, body = answer
    found = re.search(b"<Code>(.*?)</Code>", body)
    return status, found and found.group(1).decode()


def test_buckets(client, cloud):
    name = f"conformance-{os.urandom(6).hex()}"
    configuration = oss.CreateBucketConfiguration(storage_class="IA", data_redundancy_type="ZRS")
    client.put_bucket(oss.PutBucketRequest(
        bucket=name, acl="public-read", create_bucket_configuration=configuration, bucket_tagging="team=a%20b&x="))
    info = client.get_bucket_info(oss.GetBucketInfoRequest(bucket=name)).bucket_info
    assert (info.name, info.location, info.storage_class, info.data_redundancy_type) == (name, f"oss-{REGION}", "IA", "ZRS")
    assert (info.acl, info.owner.id, info.block_public_access) == ("public-read", "1000000000000001", False)
    assert client.is_bucket_exist(name) and not client.is_bucket_exist(f"{name}-2")
    assert client.get_bucket_location(oss.GetBucketLocationRequest(bucket=name)).location == f"oss-{REGION}"
    assert client.get_bucket_acl(oss.GetBucketAclRequest(bucket=name)).acl == "public-read"
    client.put_bucket_acl(oss.PutBucketAclRequest(bucket=name, acl="private"))
    assert client.get_bucket_acl(oss.GetBucketAclRequest(bucket=name)).acl == "private"
    tags = client.get_bucket_tags(oss.GetBucketTagsRequest(bucket=name)).tagging.tag_set.tags
    assert [(tag.key, tag.value or "") for tag in tags] == [("team", "a b"), ("x", "")]
    tagging = oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key="k", value="v"), oss.Tag(key="l", value="w")]))
    client.put_bucket_tags(oss.PutBucketTagsRequest(bucket=name, tagging=tagging))
    page = client.list_buckets(oss.ListBucketsRequest(tag_key="k", tag_value="v"))
    assert [found.name for found in page.buckets] == [name]
    client.delete_bucket_tags(oss.DeleteBucketTagsRequest(bucket=name))
    assert not client.get_bucket_tags(oss.GetBucketTagsRequest(bucket=name)).tagging.tag_set.tags
    put(client, name, "a", b"12345", storage_class="Standard")
    stat = client.get_bucket_stat(oss.GetBucketStatRequest(bucket=name))
    assert (stat.storage, stat.object_count, stat.standard_storage, stat.infrequent_access_object_count) == (5, 1, 5, 0)
    assert code(client.delete_bucket, oss.DeleteBucketRequest(bucket=name)) == (409, "BucketNotEmpty")
    client.delete_object(oss.DeleteObjectRequest(bucket=name, key="a"))
    begun = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=name, key="a"))
    assert code(client.delete_bucket, oss.DeleteBucketRequest(bucket=name)) == (409, "BucketNotEmpty")
    client.abort_multipart_upload(oss.AbortMultipartUploadRequest(bucket=name, key="a", upload_id=begun.upload_id))
    client.delete_bucket(oss.DeleteBucketRequest(bucket=name))
    assert code(client.get_bucket_info, oss.GetBucketInfoRequest(bucket=name)) == (404, "NoSuchBucket")
    regions = client.describe_regions(oss.DescribeRegionsRequest(regions=f"oss-{REGION}")).region_info
    assert [region.internet_endpoint for region in regions] == [f"oss-{REGION}.aliyuncs.com"]


def test_buckets_are_listed_by_pages(client):
    prefix = f"pages-{os.urandom(6).hex()}"
    names = [f"{prefix}-{number}" for number in range(5)]
    for name in names:
        client.put_bucket(oss.PutBucketRequest(bucket=name))
    pages = list(client.list_buckets_paginator(limit=2).iter_page(oss.ListBucketsRequest(prefix=prefix)))
    assert [found.name for page in pages for found in page.buckets] == names and len(pages) == 3
    for name in names:
        client.delete_bucket(oss.DeleteBucketRequest(bucket=name))


def test_an_object_and_what_is_said_of_it(client, bucket):
    key = "dir a/ü+1 %2F&.txt"
    result = put(client, bucket, key, metadata={"owner": "me"}, cache_control="no-cache", content_type="text/plain",
                 content_md5="XrY7u+Ae7tCTyyK7j1rNww==", tagging="a=1&b=2", storage_class="IA")
    assert result.etag == '"5EB63BBBE01EEED093CB22BB8F5ACDC3"'
    assert (result.hash_crc64, result.content_md5) == ("5981764153023615706", "XrY7u+Ae7tCTyyK7j1rNww==")
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key=key))
    assert (head.content_length, head.content_type, head.metadata) == (11, "text/plain", {"owner": "me"})
    assert (head.object_type, head.storage_class, head.tagging_count) == ("Normal", "IA", 2)
    meta = client.get_object_meta(oss.GetObjectMetaRequest(bucket=bucket, key=key))
    assert (meta.content_length, meta.etag, meta.hash_crc64) == (11, result.etag, result.hash_crc64)
    got = client.get_object(oss.GetObjectRequest(
        bucket=bucket, key=key, response_content_type="image/png", response_content_disposition="attachment"))
    assert (got.content_type, got.content_disposition, got.cache_control) == ("image/png", "attachment", "no-cache")
    assert got.body.content == b"hello world"
    assert client.is_object_exist(bucket, key) and not client.is_object_exist(bucket, "other")
    assert [found.key for found in client.list_objects(oss.ListObjectsRequest(bucket=bucket)).contents] == [key]
    for _ in range(2):
        assert client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=key)).status_code == 204
    put(client, bucket, "empty", b"")
    assert body_of(client, bucket, "empty") == b""
    # A body of unknown length travels in chunks.
    put(client, bucket, "chunks", iter([b"one ", b"two"]))
    assert body_of(client, bucket, "chunks") == b"one two"


def test_ranges(client, bucket):
    put(client, bucket, "a", b"0123456789")
    got = client.get_object(oss.GetObjectRequest(bucket=bucket, key="a", range_header="bytes=2-5"))
    assert (got.status_code, got.content_range, got.body.content) == (206, "bytes 2-5/10", b"2345")
    assert body_of(client, bucket, "a", range_header="bytes=-3") == b"789"
    # What makes no sense means everything, unless the standard is asked for.
    assert body_of(client, bucket, "a", range_header="bytes=20-30") == b"0123456789"
    request = oss.GetObjectRequest(bucket=bucket, key="a", range_header="bytes=20-30", range_behavior="standard")
    assert code(client.get_object, request) == (416, "InvalidRange")


def test_conditions(client, bucket):
    etag = put(client, bucket, "a").etag
    before, after = "Fri, 02 Jan 2015 03:04:05 GMT", "Fri, 02 Jan 2099 03:04:05 GMT"

    def get(**condition):
        return oss.GetObjectRequest(bucket=bucket, key="a", **condition)

    assert body_of(client, bucket, "a", if_match=etag, if_modified_since=before, if_unmodified_since=after)
    assert code(client.get_object, get(if_match='"0"')) == (412, "PreconditionFailed")
    assert code(client.get_object, get(if_unmodified_since=before)) == (412, "PreconditionFailed")
    assert refused(client.get_object, get(if_none_match=etag)).status_code == 304
    assert refused(client.get_object, get(if_modified_since=after)).status_code == 304
    head = oss.HeadObjectRequest(bucket=bucket, key="a", if_match='"0"')
    assert code(client.head_object, head) == (412, "PreconditionFailed")


def test_copies(client, bucket):
    other = f"{bucket}-2"
    client.put_bucket(oss.PutBucketRequest(bucket=other))
    first = put(client, bucket, "dir/a b", metadata={"owner": "me"}, tagging="a=1")

    def copy(key="copy", **more):
        request = oss.CopyObjectRequest(bucket=other, key=key, source_bucket=bucket, source_key="dir/a b", **more)
        return client.copy_object(request)

    result = copy()
    assert (result.etag, result.hash_crc64) == (first.etag, first.hash_crc64)
    head = client.head_object(oss.HeadObjectRequest(bucket=other, key="copy"))
    assert (head.metadata, head.tagging_count) == ({"owner": "me"}, 1)
    copy(metadata_directive="REPLACE", metadata={"new": "x"}, tagging_directive="Replace", tagging="")
    head = client.head_object(oss.HeadObjectRequest(bucket=other, key="copy"))
    assert (head.metadata, head.tagging_count) == ({"new": "x"}, None)
    assert body_of(client, other, "copy") == b"hello world"
    assert code(copy, if_match='"0"') == (412, "PreconditionFailed")
    assert refused(copy, if_none_match=first.etag).status_code == 304
    assert code(copy, forbid_overwrite=True) == (409, "FileAlreadyExists")
    missing = oss.CopyObjectRequest(bucket=other, key="copy", source_bucket=bucket, source_key="none")
    assert code(client.copy_object, missing) == (404, "NoSuchKey")
    missing = oss.CopyObjectRequest(bucket=other, key="copy", source_bucket=f"{bucket}-3", source_key="none")
    assert code(client.copy_object, missing) == (404, "NoSuchBucket")
    # In parts, by the SDK's own copier.
    data = os.urandom(3 * MEBIBYTE)
    put(client, bucket, "large", data, metadata={"owner": "me"})
    request = oss.CopyObjectRequest(bucket=other, key="large", source_bucket=bucket, source_key="large")
    client.copier().copy(request, part_size=MEBIBYTE, multipart_copy_threshold=MEBIBYTE, disable_shallow_copy=True)
    head = client.head_object(oss.HeadObjectRequest(bucket=other, key="large"))
    assert (head.object_type, head.etag[-3:], head.metadata) == ("Multipart", '-3"', {"owner": "me"})
    assert body_of(client, other, "large") == data
    clear(client, other)
    client.delete_bucket(oss.DeleteBucketRequest(bucket=other))


def test_appends(client, bucket):
    def append(position, body, key="log"):
        return client.append_object(oss.AppendObjectRequest(bucket=bucket, key=key, position=position, body=body))

    first = append(0, b"hello ")
    second = append(first.next_position, b"world")
    assert (second.next_position, second.hash_crc64) == (11, "5981764153023615706")
    error = refused(append, 3, b"x")
    assert (error.status_code, error.code) == (409, "PositionNotEqualToLength")
    assert error.headers["x-oss-next-append-position"] == "11"
    assert body_of(client, bucket, "log") == b"hello world"
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="log"))
    assert (head.object_type, head.next_append_position, head.content_md5) == ("Appendable", 11, None)
    put(client, bucket, "plain")
    assert code(append, 11, b"x", "plain") == (409, "ObjectNotAppendable")
    # The SDK's append-only file goes on where the object ends, and checks every checksum.
    data = [os.urandom(700_000) for _ in range(4)]
    with client.append_file(bucket, "file") as file:
        for piece in data:
            file.write(piece)
    assert body_of(client, bucket, "file") == b"".join(data)


def test_tags_and_access_lists_of_objects(client, cloud, bucket):
    put(client, bucket, "a")
    tagging = oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key="k", value="v&<")]))
    client.put_object_tagging(oss.PutObjectTaggingRequest(bucket=bucket, key="a", tagging=tagging))
    tags = client.get_object_tagging(oss.GetObjectTaggingRequest(bucket=bucket, key="a")).tag_set.tags
    assert [(tag.key, tag.value) for tag in tags] == [("k", "v&<")]
    client.delete_object_tagging(oss.DeleteObjectTaggingRequest(bucket=bucket, key="a"))
    assert not client.get_object_tagging(oss.GetObjectTaggingRequest(bucket=bucket, key="a")).tag_set.tags
    many = oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key=str(number), value="") for number in range(11)]))
    request = oss.PutObjectTaggingRequest(bucket=bucket, key="a", tagging=many)
    assert code(client.put_object_tagging, request) == (400, "InvalidTag")

    nobody = make_client(cloud, key=None)
    assert code(body_of, nobody, bucket, "a") == (403, "AccessDenied")
    client.put_object_acl(oss.PutObjectAclRequest(bucket=bucket, key="a", acl="public-read"))
    assert client.get_object_acl(oss.GetObjectAclRequest(bucket=bucket, key="a")).acl == "public-read"
    assert body_of(nobody, bucket, "a") == b"hello world"
    assert code(put, nobody, bucket, "a") == (403, "AccessDenied")
    client.put_object_acl(oss.PutObjectAclRequest(bucket=bucket, key="a", acl="default"))
    assert code(body_of, nobody, bucket, "a") == (403, "AccessDenied")
    client.put_bucket_acl(oss.PutBucketAclRequest(bucket=bucket, acl="public-read"))
    assert body_of(nobody, bucket, "a") == b"hello world"
    assert code(body_of, nobody, bucket, "b") == (404, "NoSuchKey")
    assert code(nobody.list_objects_v2, oss.ListObjectsV2Request(bucket=bucket)) == (403, "AccessDenied")
    put(client, bucket, "secret", acl="private")
    assert code(body_of, nobody, bucket, "secret") == (403, "AccessDenied")
    client.put_bucket_acl(oss.PutBucketAclRequest(bucket=bucket, acl="public-read-write"))
    put(nobody, bucket, "b")
    nobody.delete_object(oss.DeleteObjectRequest(bucket=bucket, key="b"))
    request = oss.PutBucketAclRequest(bucket=bucket, acl="private")
    assert code(nobody.put_bucket_acl, request) == (403, "AccessDenied")
    assert code(nobody.list_buckets, oss.ListBucketsRequest()) == (403, "AccessDenied")


def test_many_objects_are_listed_by_pages(client, bucket):
    keys = sorted([f"{group}/{number:04}" for group in "abcde" for number in range(499)] + [f"top {number}" for number in range(5)])
    assert len(keys) == 2500
    for key in keys:
        put(client, bucket, key, b"")
    found = [
        [entry.key for page in client.list_objects_paginator(limit=1000).iter_page(
            oss.ListObjectsRequest(bucket=bucket)) for entry in page.contents],
        [entry.key for page in client.list_objects_v2_paginator(limit=700).iter_page(
            oss.ListObjectsV2Request(bucket=bucket, fetch_owner=True)) for entry in page.contents],
    ]
    assert found == [keys, keys]
    for paginate, request in [
        (client.list_objects_paginator, oss.ListObjectsRequest),
        (client.list_objects_v2_paginator, oss.ListObjectsV2Request),
    ]:
        pages = list(paginate(limit=3).iter_page(request(bucket=bucket, delimiter="/")))
        groups = [group.prefix for page in pages for group in page.common_prefixes or []]
        single = [entry.key for page in pages for entry in page.contents or []]
        assert (groups, single) == ([f"{group}/" for group in "abcde"], [f"top {number}" for number in range(5)])
        assert len(pages) == 4
        pages = list(paginate().iter_page(request(bucket=bucket, prefix="c/", delimiter="/")))
        assert sum(len(page.contents) for page in pages) == 499 and not any(page.common_prefixes for page in pages)
    later = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, start_after="e/0498", max_keys=3))
    assert [entry.key for entry in later.contents] == ["top 0", "top 1", "top 2"] and later.is_truncated
    first = client.list_objects(oss.ListObjectsRequest(bucket=bucket, max_keys=1)).contents[0]
    assert (first.object_type, first.storage_class, first.owner.id) == ("Normal", "Standard", "1000000000000001")
    for most in [0, 1001]:
        request = oss.ListObjectsV2Request(bucket=bucket, max_keys=most)
        assert code(client.list_objects_v2, request) == (400, "InvalidArgument")
    # All but the first at once, told or not.
    named = [oss.DeleteObject(key=key) for key in keys[1:]]
    result = client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket=bucket, objects=named[:1000]))
    assert [entry.key for entry in result.deleted_objects] == keys[1:1001]
    request = oss.DeleteMultipleObjectsRequest(bucket=bucket, objects=named[1000:2000], quiet=True)
    assert not client.delete_multiple_objects(request).deleted_objects
    request = oss.DeleteMultipleObjectsRequest(bucket=bucket, objects=named[:1001])
    assert code(client.delete_multiple_objects, request) == (400, "MalformedXML")


def test_large_objects_go_up_and_down(client, bucket, tmp_path):
    data = os.urandom(8 * MEBIBYTE) * 8
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    whole = put(client, bucket, "whole", data)
    assert whole.etag.strip('"') == hashlib.md5(data).hexdigest().upper()
    with open(source, "rb") as file:
        request = oss.PutObjectRequest(bucket=bucket, key="parts", metadata={"owner": "me"})
        parts = client.uploader(part_size=5 * MEBIBYTE, parallel_num=4).upload_from(request, file)
    # The checksum of the parts put together is that of the whole.
    assert (parts.hash_crc64, parts.etag[-4:]) == (whole.hash_crc64, '-13"')
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="parts"))
    assert (head.object_type, head.content_length, head.metadata) == ("Multipart", len(data), {"owner": "me"})
    for key in ["whole", "parts"]:
        result = client.downloader(part_size=3 * MEBIBYTE, parallel_num=4).download_file(
            oss.GetObjectRequest(bucket=bucket, key=key), str(target))
        assert result.written == len(data) and target.read_bytes() == data
        client.get_object_to_file(oss.GetObjectRequest(bucket=bucket, key=key), str(target))
        assert target.read_bytes() == data
    # Across the border of two parts.
    border = 5 * MEBIBYTE
    got = body_of(client, bucket, "parts", range_header=f"bytes={border - 10}-{border + 9}")
    assert got == data[border - 10:border + 10]


def test_uploads_in_parts(client, bucket):
    def begin(key="a", **more):
        return client.initiate_multipart_upload(
            oss.InitiateMultipartUploadRequest(bucket=bucket, key=key, **more)).upload_id

    def upload(id, number, body, key="a"):
        return client.upload_part(oss.UploadPartRequest(
            bucket=bucket, key=key, upload_id=id, part_number=number, body=body)).etag

    def complete(id, parts, key="a", **more):
        wanted = [oss.UploadPart(part_number=number, etag=etag) for number, etag in parts]
        body = oss.CompleteMultipartUpload(parts=wanted) if parts is not None and parts != () else None
        return client.complete_multipart_upload(oss.CompleteMultipartUploadRequest(
            bucket=bucket, key=key, upload_id=id, complete_multipart_upload=body, **more))

    id = begin(content_type="text/plain", tagging="a=1")
    large, small = os.urandom(100 * 1024), b"the end"
    upload(id, 1, b"to be replaced")
    first, third, seventh = upload(id, 1, large), upload(id, 3, small), upload(id, 7, small)
    listed = client.list_parts_paginator(limit=2).iter_page(oss.ListPartsRequest(bucket=bucket, key="a", upload_id=id))
    listed = [part for page in listed for part in page.parts]
    assert [(part.part_number, part.etag, part.size) for part in listed] == [(1, first, 102400), (3, third, 7), (7, seventh, 7)]
    assert code(complete, id, [(3, third), (1, first)]) == (400, "InvalidPartOrder")
    assert code(complete, id, [(1, third), (3, third)]) == (400, "InvalidPart")
    assert code(complete, id, [(1, first), (4, third)]) == (400, "InvalidPart")
    error = refused(complete, id, [(1, first), (3, third), (7, seventh)])
    assert (error.code, error.error_fileds["PartNumber"], error.error_fileds["MinSizeAllowed"]) == ("EntityTooSmall", "3", "102400")
    assert code(complete, id, ()) == (400, "MalformedXML")
    result = complete(id, [(1, first), (3, third)])
    assert result.etag.endswith('-2"') and result.key == "a"
    assert body_of(client, bucket, "a") == large + small
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="a"))
    assert (head.content_type, head.tagging_count, head.etag) == ("text/plain", 1, result.etag)
    assert code(complete, id, [(1, first)]) == (404, "NoSuchUpload")
    assert code(upload, id, 1, b"") == (404, "NoSuchUpload")
    assert code(begin, forbid_overwrite=True) == (409, "FileAlreadyExists")
    # All there are.
    id = begin()
    for number in (2, 1):
        upload(id, number, large)
    assert code(upload, id, 10001, b"") == (400, "InvalidArgument")
    client.upload_part_copy(oss.UploadPartCopyRequest(
        bucket=bucket, key="a", upload_id=id, part_number=5, source_key="a", source_range="bytes=102400-102406"))
    complete(id, (), complete_all="yes")
    assert body_of(client, bucket, "a") == large + large + small
    # Those that are not finished.
    begun = sorted((key, begin(key)) for key in ["x/1", "x/2", "y", "y", "z"])
    pages = client.list_multipart_uploads_paginator(limit=2).iter_page(oss.ListMultipartUploadsRequest(bucket=bucket))
    assert [(found.key, found.upload_id) for page in pages for found in page.uploads] == begun
    assert client.get_bucket_stat(oss.GetBucketStatRequest(bucket=bucket)).multi_part_upload_count == 5
    client.abort_multipart_upload(oss.AbortMultipartUploadRequest(bucket=bucket, key="z", upload_id=begun[4][1]))
    request = oss.AbortMultipartUploadRequest(bucket=bucket, key="z", upload_id=begun[4][1])
    assert code(client.abort_multipart_upload, request) == (404, "NoSuchUpload")


def test_links(client, cloud, bucket, request):
    put(client, bucket, "dir/a b+c", b"bytes", content_type="text/plain")
    get = oss.GetObjectRequest(bucket=bucket, key="dir/a b+c", response_content_type="image/png")
    link = client.presign(get, expires=datetime.timedelta(minutes=5)).url
    status, headers, body = fetch(link)
    assert (status, headers["content-type"], body) == (200, "image/png", b"bytes")
    assert fetch(link, headers={"range": "bytes=1-2"})[2] == b"yt"
    upload = client.presign(oss.PutObjectRequest(bucket=bucket, key="up", content_type="text/plain"))
    assert fetch(upload.url, "PUT", b"sent", {"content-type": "text/plain"})[0] == 200
    assert body_of(client, bucket, "up") == b"sent"
    # Another type, object or method than was signed for.
    assert code_of(fetch(upload.url, "PUT", b"sent", {"content-type": "text/html"})) == (403, "SignatureDoesNotMatch")
    answer = fetch(link.replace("a%20b", "a%20c"))
    assert code_of(answer) == (403, "SignatureDoesNotMatch") and b"<StringToSign>" in answer[2]
    assert code_of(fetch(link, "DELETE")) == (403, "SignatureDoesNotMatch")
    assert code_of(fetch(link.partition("?")[0])) == (403, "AccessDenied")
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    if request.node.callspec.params["client"] == "v1":
        old = client.presign(oss.GetObjectRequest(bucket=bucket, key="up"), expiration=past).url
    else:
        # The SDK signs no link that is over: one that was good for a second has to get old.
        old = client.presign(oss.GetObjectRequest(bucket=bucket, key="up"), expires=datetime.timedelta(seconds=1)).url
        time.sleep(2.1)
    answer = fetch(old)
    assert code_of(answer) == (403, "AccessDenied") and b"Request has expired" in answer[2]


def test_refusals(client, cloud, bucket, request):
    version = "v1" if request.node.callspec.params["client"] == "v1" else "v4"
    more = {"signature_version": version}
    stranger = make_client(cloud, key=("nobody", "x"), **more)
    assert code(put, stranger, bucket, "a") == (403, "InvalidAccessKeyId")
    error = refused(put, make_client(cloud, key=("local", "wrong"), **more), bucket, "a")
    assert (error.status_code, error.code) == (403, "SignatureDoesNotMatch")
    assert error.error_fileds["OSSAccessKeyId"] == "local" and error.error_fileds["StringToSignBytes"]
    assert code(put, make_client(cloud, key=("local", "local", "token"), **more), bucket, "a") == (403, "InvalidSecurityToken")
    assert code(put, client, f"{bucket}-none", "a") == (404, "NoSuchBucket")
    error = refused(body_of, client, bucket, "none")
    assert (error.status_code, error.code, error.ec) == (404, "NoSuchKey", "0026-00000001")
    error = refused(client.head_object, oss.HeadObjectRequest(bucket=bucket, key="none"))
    assert (error.status_code, error.code, error.ec) == (404, "NoSuchKey", "0026-00000001")
    put(client, bucket, "a")
    assert code(put, client, bucket, "a", forbid_overwrite=True) == (409, "FileAlreadyExists")
    assert code(put, client, bucket, "b", content_md5="1B2M2Y8AsgTpgAmY7PhCfg==") == (400, "InvalidDigest")
    assert code(put, client, bucket, "b", storage_class="Cheap") == (400, "InvalidArgument")
    assert code(put, client, bucket, "b", acl="everyone") == (400, "InvalidArgument")
    assert code(put, client, bucket, "x" * 1024) == (400, "InvalidObjectName")
    put(client, bucket, "x" * 1023)
    assert code(put, client, bucket, "\\b") == (400, "InvalidObjectName")
    put(client, bucket, "frozen", storage_class="Archive")
    assert code(body_of, client, bucket, "frozen") == (403, "InvalidObjectState")
    begun = oss.GetBucketVersioningRequest(bucket=bucket)
    assert code(client.get_bucket_versioning, begun) == (501, "NotImplemented")
    assert code(client.get_bucket_lifecycle, oss.GetBucketLifecycleRequest(bucket=bucket)) == (501, "NotImplemented")
    elsewhere = make_client(cloud, region="cn-beijing")
    assert code(elsewhere.put_bucket, oss.PutBucketRequest(bucket=bucket)) == (409, "BucketAlreadyExists")
    error = refused(body_of, elsewhere, bucket, "a")
    assert (error.code, error.error_fileds["Endpoint"]) == ("AccessDenied", f"oss-{REGION}.aliyuncs.com")
    url = f"http://{cloud.address}/{bucket}/a"
    assert code_of(fetch(url, "GET", headers={"authorization": "Bearer x"})) == (400, "InvalidArgument")
    link = client.presign(oss.GetObjectRequest(bucket=bucket, key="a")).url
    # A method that objects do not know.
    assert code_of(fetch(link, "PATCH", b""))[0] in (403, 405)


def test_a_clock_that_is_off(client, cloud, bucket, monkeypatch):
    import alibabacloud_oss_v2.signer.v1 as v1
    import alibabacloud_oss_v2.signer.v4 as v4

    class Late(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) - datetime.timedelta(minutes=16)

    for signer in (v1, v4):
        monkeypatch.setattr(signer.datetime, "datetime", Late)
    error = refused(put, client, bucket, "a")
    assert (error.status_code, error.code) == (403, "RequestTimeTooSkewed")
    assert error.error_fileds["ServerTime"] > error.error_fileds["RequestTime"]
    monkeypatch.undo()
