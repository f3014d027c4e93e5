"""What a program does with boto3's defaults. The contract is in ../doc.go; only the standard library and boto3 are used."""

import base64
import hashlib
import io
import json
import os
import time
import urllib.error
import urllib.request
from datetime import timedelta

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

bucket = "boto3-" + boto3.__version__.replace(".", "-")
s3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"])
with open(os.path.join(os.environ["WORKDIR"], "big"), "rb") as f:
    big = f.read()


def equal(what, got, want):
    if got != want:
        raise SystemExit(f"FAIL: {what}: got {got!r:.200}, want {want!r:.200}")


def refused(code, call, **arguments):
    """Wants call to fail with S3's error code."""
    try:
        call(**arguments)
    except ClientError as e:
        equal("error code", e.response["Error"]["Code"], code)
    else:
        raise SystemExit(f"FAIL: not refused: {call.__name__} {arguments}")


def read(key, **arguments):
    return s3.get_object(Bucket=bucket, Key=key, **arguments)["Body"].read()


def http(method, url, body=None, headers={}):
    """Sends a request without credentials, and returns status and body."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data=body, method=method, headers=headers)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def objects():
    body = big[:300_000]
    key = "a/ключ + 1"
    put = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/x-test", Metadata={"colour": "green"})
    equal("ETag", put["ETag"], '"%s"' % hashlib.md5(body).hexdigest())
    got = s3.get_object(Bucket=bucket, Key=key)
    equal("body", got["Body"].read(), body)
    equal("type, metadata", (got["ContentType"], got["Metadata"]), ("text/x-test", {"colour": "green"}))
    equal("range", read(key, Range="bytes=1000-1999"), body[1000:2000])
    equal("suffix", read(key, Range="bytes=-5"), body[-5:])
    s3.put_object(Bucket=bucket, Key="empty")
    equal("empty", read("empty"), b"")
    s3.put_object(Bucket=bucket, Key="sum", Body=body, ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")
    equal("checksum", head["ChecksumSHA256"], base64.b64encode(hashlib.sha256(body).digest()).decode())
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    equal("copy", (read("copy"), s3.head_object(Bucket=bucket, Key="copy")["Metadata"]), (body, {"colour": "green"}))
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="none")
    refused("304", s3.get_object, Bucket=bucket, Key="copy", IfNoneMatch=put["ETag"])
    refused("NoSuchBucket", s3.get_object, Bucket="there-is-none", Key="none")
    print("objects: put, get, ranges, checksums, copy, errors")


def transfers():
    s3.upload_fileobj(io.BytesIO(big), bucket, "large", ExtraArgs={"Metadata": {"parts": "many"}})
    equal("parts", s3.head_object(Bucket=bucket, Key="large")["ETag"].rsplit("-")[-1], '%d"' % -(-len(big) // (8 << 20)))
    back = io.BytesIO()
    s3.download_fileobj(bucket, "large", back)
    equal("download_fileobj", back.getvalue() == big, True)
    s3.upload_file(os.path.join(os.environ["WORKDIR"], "big"), bucket, "from file")
    s3.download_file(bucket, "from file", "back")
    with open("back", "rb") as f:
        equal("download_file", f.read() == big, True)
    s3.copy({"Bucket": bucket, "Key": "large"}, bucket, "large copy")
    equal("managed copy", read("large copy") == big, True)
    print("transfer manager: up, down, copy")


def lists():
    names = ["list/%03d" % i for i in range(25)]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="list/", PaginationConfig={"PageSize": 10}))
    equal("pages", [len(p["Contents"]) for p in pages], [10, 10, 5])
    equal("keys", [o["Key"] for p in pages for o in p["Contents"]], names)
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    equal("prefixes", [p["Prefix"] for p in page["CommonPrefixes"]], ["a/", "list/"])
    old = s3.get_paginator("list_objects").paginate(Bucket=bucket, Prefix="list/", PaginationConfig={"PageSize": 7})
    equal("list_objects", [o["Key"] for p in old for o in p["Contents"]], names)
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": n} for n in names]})
    equal("delete_objects", (len(gone["Deleted"]), gone.get("Errors")), (25, None))
    resource = boto3.resource("s3", endpoint_url=os.environ["ENDPOINT"])
    equal("resource", sorted(o.key for o in resource.Bucket(bucket).objects.filter(Prefix="a/")), ["a/ключ + 1"])
    print("lists: paginators, prefixes, resource")


def links():
    for version in (None, "s3v4"):
        client = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], config=Config(signature_version=version))
        url = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "by link"}, ExpiresIn=600)
        equal("presigned PUT", http("PUT", url, b"linked", {"Content-Type": ""})[0], 200)
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "by link"})
        equal("presigned GET", http("GET", url), (200, b"linked"))
        equal("the wrong method", http("DELETE", url)[0], 403)
        equal("another key", http("GET", url.replace("by%20link", "empty"))[0], 403)
    print("presigned URLs: the default, s3v4")


def forms():
    post = s3.generate_presigned_post(bucket, "form/${filename}", Fields={"Content-Type": "text/plain"}, ExpiresIn=600,
                                      Conditions=[["starts-with", "$Content-Type", "text/"], ["content-length-range", 1, 100]])
    equal("POST", send_form(post, b"by a form"), 204)
    equal("its object", (read("form/name.txt"), s3.head_object(Bucket=bucket, Key="form/name.txt")["ContentType"]), (b"by a form", "text/plain"))
    equal("too long", send_form(post, b"x" * 101), 400)
    post["fields"]["Content-Type"] = "image/png"
    equal("a field against the policy", send_form(post, b"by a form"), 403)
    print("presigned POST")


def send_form(post, body):
    boundary = "----form"
    lines = []
    for name, value in post["fields"].items():
        lines += ["--" + boundary, f'Content-Disposition: form-data; name="{name}"', "", value]
    lines += ["--" + boundary, 'Content-Disposition: form-data; name="file"; filename="name.txt"', "", body.decode(), f"--{boundary}--", ""]
    return http("POST", post["url"], "\r\n".join(lines).encode(), {"Content-Type": "multipart/form-data; boundary=" + boundary})[0]


def tags():
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"x", Tagging="a=1&b=two%20words")
    equal("tags", s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"], [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "two words"}])
    equal("TagCount", s3.get_object(Bucket=bucket, Key="tagged")["TagCount"], 2)
    refused("InvalidTag", s3.put_object_tagging, Bucket=bucket, Key="tagged", Tagging={"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]})
    s3.delete_object_tagging(Bucket=bucket, Key="tagged")
    equal("no tags", s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"], [])
    print("tags")


def attributes():
    got = s3.get_object_attributes(Bucket=bucket, Key="large", ObjectAttributes=["ETag", "ObjectParts", "ObjectSize", "StorageClass"])
    equal("ObjectSize", got["ObjectSize"], len(big))
    equal("ObjectParts", got["ObjectParts"]["TotalPartsCount"], -(-len(big) // (8 << 20)))
    print("attributes")


def versions():
    name = bucket + "-versions"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.put_object(Bucket=name, Key="k", Body=b"%d" % i)["VersionId"] for i in range(5)]
    s3.delete_object(Bucket=name, Key="k")
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=name, PaginationConfig={"PageSize": 2}))
    equal("versions", [v["VersionId"] for p in pages for v in p.get("Versions", [])], ids[::-1])
    equal("markers", sum(len(p.get("DeleteMarkers", [])) for p in pages), 1)
    for i, id in enumerate(ids):
        equal("a version", s3.get_object(Bucket=name, Key="k", VersionId=id)["Body"].read(), b"%d" % i)
    boto3.resource("s3", endpoint_url=os.environ["ENDPOINT"]).Bucket(name).object_versions.delete()
    s3.delete_bucket(Bucket=name)
    print("versions")


def locks():
    name = bucket + "-locks"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    equal("the rule", s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"]["Rule"], rule)
    version = {"Bucket": name, "Key": "k", "VersionId": s3.put_object(Bucket=name, Key="k", Body=b"locked")["VersionId"]}
    head = s3.head_object(**version)
    equal("the default retention", head["ObjectLockMode"], "GOVERNANCE")
    earlier = {"Mode": "GOVERNANCE", "RetainUntilDate": head["ObjectLockRetainUntilDate"] - timedelta(hours=1)}
    refused("AccessDenied", s3.put_object_retention, Retention=earlier, **version)
    s3.put_object_retention(Retention=earlier, BypassGovernanceRetention=True, **version)
    equal("a shorter retention", s3.get_object_retention(**version)["Retention"], earlier)
    s3.put_object_legal_hold(LegalHold={"Status": "ON"}, **version)
    s3.delete_object(Bucket=name, Key="k")  # a marker, which is always allowed
    refused("AccessDenied", s3.delete_object, BypassGovernanceRetention=True, **version)
    s3.put_object_legal_hold(LegalHold={"Status": "OFF"}, **version)
    gone = s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k", "VersionId": version["VersionId"]}]})
    equal("delete_objects", [e["Code"] for e in gone["Errors"]], ["AccessDenied"])
    boto3.resource("s3", endpoint_url=os.environ["ENDPOINT"]).Bucket(name).object_versions.delete(BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=name)
    print("locks: default retention, shorter, legal hold, bypass")


def acls():
    refused("AccessControlListNotSupported", s3.put_object_acl, Bucket=bucket, Key="empty", ACL="public-read")
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_object_acl(Bucket=bucket, Key="empty", ACL="public-read")
    link = f"{os.environ['ENDPOINT']}/{bucket}/empty"
    equal("a public object", http("GET", link)[0], 200)
    acl = s3.get_object_acl(Bucket=bucket, Key="empty")
    equal("its grants", [g["Permission"] for g in acl["Grants"]], ["FULL_CONTROL", "READ"])
    s3.put_object_acl(Bucket=bucket, Key="empty", AccessControlPolicy={"Owner": acl["Owner"], "Grants": acl["Grants"][:1]})
    equal("a private object", http("GET", link)[0], 403)
    equal("resource", [g["Grantee"]["ID"] for g in boto3.resource("s3", endpoint_url=os.environ["ENDPOINT"]).BucketAcl(bucket).grants], [acl["Owner"]["ID"]])
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    print("ACLs: canned, grants")


def allow(action, resource):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})


def eventually(what, holds):
    """Waits for what a change brings: it holds within a second."""
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"FAIL: {what}")


def allowed(call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        if e.response["Error"]["Code"] not in ("AccessDenied", "InvalidAccessKeyId"):
            raise
        return False
    return True


def users():
    iam = boto3.client("iam", endpoint_url=os.environ["ENDPOINT"])
    user = {"UserName": "user-" + bucket}
    iam.create_user(Path=f"/{bucket}/", Tags=[{"Key": "team", "Value": "blue + green"}], **user)
    iam.get_waiter("user_exists").wait(**user)
    iam.tag_user(Tags=[{"Key": "größe", "Value": "1"}], **user)
    iam.untag_user(TagKeys=["team"], **user)
    equal("tags", iam.list_user_tags(**user)["Tags"], [{"Key": "größe", "Value": "1"}])
    key = iam.create_access_key(**user)["AccessKey"]
    theirs = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    lists = lambda: allowed(theirs.list_objects_v2, Bucket=bucket)
    equal("no policy", lists(), False)

    inline = allow("s3:ListBucket", f"arn:aws:s3:::{bucket}")
    iam.put_user_policy(PolicyName="own", PolicyDocument=inline, **user)
    eventually("the inline policy allows", lists)
    equal("get_user_policy", json.dumps(iam.get_user_policy(PolicyName="own", **user)["PolicyDocument"]), inline)
    iam.delete_user_policy(PolicyName="own", **user)
    eventually("without the inline policy nothing is allowed", lambda: not lists())

    arn = iam.create_policy(PolicyName="policy-" + bucket, PolicyDocument=allow("s3:GetObject", "*"))["Policy"]["Arn"]
    iam.attach_user_policy(PolicyArn=arn, **user)
    version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=inline, SetAsDefault=True)["PolicyVersion"]["VersionId"]
    eventually("the new version of the policy allows", lists)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    eventually("the old version of the policy does not", lambda: not lists())
    equal("versions", [v["VersionId"] for v in iam.list_policy_versions(PolicyArn=arn)["Versions"]], [version, "v1"])
    equal("its users", [u["UserName"] for u in iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"]], [user["UserName"]])
    refused("DeleteConflict", iam.delete_policy, PolicyArn=arn)
    iam.detach_user_policy(PolicyArn=arn, **user)
    iam.delete_policy_version(PolicyArn=arn, VersionId=version)
    iam.delete_policy(PolicyArn=arn)

    group = {"GroupName": "group-" + bucket}
    iam.create_group(**group)
    iam.attach_group_policy(PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess", **group)
    iam.add_user_to_group(**user, **group)
    eventually("the group's policy allows", lists)
    equal("groups", [g["GroupName"] for g in iam.list_groups_for_user(**user)["Groups"]], [group["GroupName"]])
    equal("users", [u["UserName"] for p in iam.get_paginator("list_users").paginate(PathPrefix=f"/{bucket}/", PaginationConfig={"PageSize": 1}) for u in p["Users"]], [user["UserName"]])
    iam.update_access_key(AccessKeyId=key["AccessKeyId"], Status="Inactive", **user)
    eventually("an inactive key does not", lambda: not lists())

    resource = boto3.resource("iam", endpoint_url=os.environ["ENDPOINT"])
    theirs = resource.User(user["UserName"])
    for k in theirs.access_keys.all():
        k.delete()
    theirs.remove_group(**group)
    resource.Group(group["GroupName"]).detach_policy(PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    resource.Group(group["GroupName"]).delete()
    theirs.delete()
    refused("NoSuchEntity", iam.get_user, **user)
    print("IAM: users, keys, inline and managed policies and their versions, groups")


s3.create_bucket(Bucket=bucket)
objects()
transfers()
lists()
links()
forms()
tags()
attributes()
versions()
locks()
acls()
users()
boto3.resource("s3", endpoint_url=os.environ["ENDPOINT"]).Bucket(bucket).objects.all().delete()
s3.delete_bucket(Bucket=bucket)
refused("404", s3.head_bucket, Bucket=bucket)
