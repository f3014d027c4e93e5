// What a program does with the AWS SDK for JavaScript v3 and its defaults. The contract is in ../doc.go.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  CopyObjectCommand, CreateBucketCommand, DeleteBucketCommand, DeleteObjectCommand, DeleteObjectsCommand, DeleteObjectTaggingCommand,
  GetObjectAttributesCommand, GetObjectCommand, GetObjectTaggingCommand, HeadBucketCommand, HeadObjectCommand,
  ListObjectVersionsCommand, paginateListObjectsV2, PutBucketVersioningCommand, PutObjectCommand, PutObjectTaggingCommand, S3Client, waitUntilObjectNotExists,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { createPresignedPost } from "@aws-sdk/s3-presigned-post";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const { ENDPOINT, WORKDIR } = process.env;
const Bucket = "aws-sdk-js";
const s3 = new S3Client({ endpoint: ENDPOINT, forcePathStyle: true });
const big = readFileSync(`${WORKDIR}/big`);
const small = big.subarray(0, 300_000);

const send = (Command, input) => s3.send(new Command({ Bucket, ...input }));
const read = async (input) => Buffer.from(await (await send(GetObjectCommand, input)).Body.transformToByteArray());
const refused = (name, Command, input) => assert.rejects(send(Command, input), (e) => e.name === name || assert.fail(`${e.name}, not ${name}`));

async function objects() {
  const Key = "a/ключ + 1";
  const put = await send(PutObjectCommand, { Key, Body: small, ContentType: "text/x-test", Metadata: { colour: "green" } });
  assert.equal(put.ETag, `"${createHash("md5").update(small).digest("hex")}"`);
  assert.ok(put.ChecksumCRC32, "the default checksum is not answered");
  const got = await send(GetObjectCommand, { Key });
  assert.ok(small.equals(Buffer.from(await got.Body.transformToByteArray())));
  assert.deepEqual([got.ContentType, got.Metadata], ["text/x-test", { colour: "green" }]);
  assert.ok(small.subarray(1000, 2000).equals(await read({ Key, Range: "bytes=1000-1999" })));
  await send(PutObjectCommand, { Key: "empty", Body: "" });
  assert.equal((await read({ Key: "empty" })).length, 0);
  await send(PutObjectCommand, { Key: "stream", Body: createReadStream(`${WORKDIR}/big`), ContentLength: big.length }); // a trailer
  await pipeline((await send(GetObjectCommand, { Key: "stream" })).Body, createWriteStream("stream"));
  assert.ok(big.equals(readFileSync("stream")));
  await send(CopyObjectCommand, { Key: "copy", CopySource: encodeURIComponent(`${Bucket}/${Key}`) });
  assert.ok(small.equals(await read({ Key: "copy" })));
  await refused("NoSuchKey", GetObjectCommand, { Key: "none" });
  await refused("NotFound", HeadObjectCommand, { Key: "none" });
  await refused("PreconditionFailed", PutObjectCommand, { Key: "copy", Body: "x", IfNoneMatch: "*" });
  await refused("NoSuchBucket", GetObjectCommand, { Bucket: "there-is-none", Key: "none" });
  console.log("objects: put, get, streams with trailers, ranges, copy, conditions, errors");
}

async function checksums() {
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
    await send(PutObjectCommand, { Key: "sum", Body: small, ChecksumAlgorithm });
    const head = await send(HeadObjectCommand, { Key: "sum", ChecksumMode: "ENABLED" });
    assert.ok(head[`Checksum${ChecksumAlgorithm}`], ChecksumAlgorithm);
    assert.ok(small.equals(await read({ Key: "sum", ChecksumMode: "ENABLED" }))); // the SDK checks it
  }
  await assert.rejects(send(PutObjectCommand, { Key: "sum", Body: small, ChecksumSHA256: createHash("sha256").update("other").digest("base64") }));
  console.log("checksums: all five");
}

async function uploads() {
  let loaded = 0;
  const upload = new Upload({ client: s3, params: { Bucket, Key: "large", Body: createReadStream(`${WORKDIR}/big`), Metadata: { parts: "many" } } });
  upload.on("httpUploadProgress", (progress) => (loaded = Math.max(loaded, progress.loaded)));
  const done = await upload.done();
  assert.match(done.ETag, new RegExp(`-${Math.ceil(big.length / (5 << 20))}"$`));
  assert.equal(loaded, big.length);
  assert.ok(big.equals(await read({ Key: "large" })));
  const unknown = new Upload({ client: s3, params: { Bucket, Key: "unknown length", Body: Readable.from([small, small]) } });
  await unknown.done();
  assert.ok(Buffer.concat([small, small]).equals(await read({ Key: "unknown length" })));
  const aborted = new Upload({ client: s3, params: { Bucket, Key: "aborted", Body: createReadStream(`${WORKDIR}/big`) } });
  aborted.on("httpUploadProgress", () => aborted.abort());
  await assert.rejects(aborted.done(), { name: "AbortError" });
  await refused("NotFound", HeadObjectCommand, { Key: "aborted" });
  console.log("lib-storage: in parts with progress, unknown length, abort");
}

async function lists() {
  const keys = Array.from({ length: 25 }, (_, i) => `list/${String(i).padStart(3, "0")}`);
  await Promise.all(keys.map((Key) => send(PutObjectCommand, { Key, Body: Key })));
  const listed = [];
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 10 }, { Bucket, Prefix: "list/" })) listed.push(...page.Contents.map((o) => o.Key));
  assert.deepEqual(listed, keys);
  const gone = await send(DeleteObjectsCommand, { Delete: { Objects: keys.map((Key) => ({ Key })) } });
  assert.deepEqual([gone.Deleted.length, gone.Errors], [25, undefined]);
  await waitUntilObjectNotExists({ client: s3, maxWaitTime: 60 }, { Bucket, Key: keys[0] });
  console.log("lists: paginator, DeleteObjects, waiter");
}

async function links() {
  const Key = "by link";
  let url = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key }), { expiresIn: 600 });
  assert.equal((await fetch(url, { method: "PUT", body: "linked" })).status, 200);
  url = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key, ResponseContentDisposition: "attachment" }));
  const got = await fetch(url);
  assert.deepEqual([got.status, await got.text(), got.headers.get("content-disposition")], [200, "linked", "attachment"]);
  assert.equal((await fetch(url.replace("attachment", "inline"))).status, 403);
  url = await getSignedUrl(s3, new DeleteObjectCommand({ Bucket, Key }));
  assert.equal((await fetch(url)).status, 403);
  assert.equal((await fetch(url, { method: "DELETE" })).status, 204);
  console.log("presigned URLs: PUT, GET with response headers, DELETE");
}

async function forms() {
  const { url, fields } = await createPresignedPost(s3, { Bucket, Key: "form/${filename}", Conditions: [["content-length-range", 1, 100]], Fields: { success_action_status: "201" } });
  const post = (body) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", new Blob([body]), "name.txt");
    return fetch(url, { method: "POST", body: form });
  };
  const answer = await post("by a form");
  assert.equal(answer.status, 201);
  assert.match(await answer.text(), /<Key>form\/name.txt<\/Key>/);
  assert.equal((await read({ Key: "form/name.txt" })).toString(), "by a form");
  assert.equal((await post("x".repeat(101))).status, 400);
  console.log("presigned POST");
}

async function tags() {
  await send(PutObjectCommand, { Key: "tagged", Body: "x", Tagging: "a=1&b=two%20words" });
  const want = [{ Key: "a", Value: "1" }, { Key: "b", Value: "two words" }];
  assert.deepEqual((await send(GetObjectTaggingCommand, { Key: "tagged" })).TagSet, want);
  await send(PutObjectTaggingCommand, { Key: "tagged", Tagging: { TagSet: want.slice(1) } });
  assert.equal((await send(GetObjectCommand, { Key: "tagged" })).TagCount, 1);
  await send(DeleteObjectTaggingCommand, { Key: "tagged" });
  assert.deepEqual((await send(GetObjectTaggingCommand, { Key: "tagged" })).TagSet, []);
  console.log("tags");
}

async function attributes() {
  const got = await send(GetObjectAttributesCommand, { Key: "large", ObjectAttributes: ["ETag", "Checksum", "ObjectParts", "ObjectSize"] });
  assert.deepEqual([got.ObjectSize, got.ObjectParts.TotalPartsCount], [big.length, Math.ceil(big.length / (5 << 20))]);
  console.log("attributes");
}

async function versions() {
  const Bucket = "js-versions", Key = "k";
  await send(CreateBucketCommand, { Bucket });
  await send(PutBucketVersioningCommand, { Bucket, VersioningConfiguration: { Status: "Enabled" } });
  const old = await send(PutObjectCommand, { Bucket, Key, Body: "old" });
  await send(PutObjectCommand, { Bucket, Key, Body: "new" });
  assert.equal((await read({ Bucket, Key, VersionId: old.VersionId })).toString(), "old");
  await send(DeleteObjectCommand, { Bucket, Key });
  const all = await send(ListObjectVersionsCommand, { Bucket });
  assert.deepEqual([all.Versions.length, all.DeleteMarkers.length], [2, 1]);
  const Objects = [...all.Versions, ...all.DeleteMarkers].map(({ Key, VersionId }) => ({ Key, VersionId }));
  await send(DeleteObjectsCommand, { Bucket, Delete: { Objects } });
  await send(DeleteBucketCommand, { Bucket });
  console.log("versions");
}

async function removeAll() {
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket })) {
    await send(DeleteObjectsCommand, { Delete: { Objects: page.Contents.map(({ Key }) => ({ Key })) } });
  }
  await send(DeleteBucketCommand);
  await refused("NotFound", HeadBucketCommand);
}

await send(CreateBucketCommand);
await objects();
await checksums();
await uploads();
await lists();
await links();
await forms();
await tags();
await attributes();
await versions();
await removeAll();
s3.destroy(); // else a connection whose answer nobody read keeps node alive for two minutes
