// Pages in a real browser, of another origin than the server's. The contract is in ../doc.go.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import {
  CreateBucketCommand, DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, PutBucketCorsCommand, PutObjectCommand, S3Client,
} from "@aws-sdk/client-s3";
import { createPresignedPost } from "@aws-sdk/s3-presigned-post";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { Browser } from "./browser.mjs";
import { block, blockBytes, blocks } from "./content.mjs";

const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_REGION: region, BUILD, ENDPOINT: endpoint, WORKDIR } = process.env;
const Bucket = "pages";
const partMegabytes = 200;
const s3 = new S3Client({ endpoint, forcePathStyle: true });
const send = (Command, input) => s3.send(new Command({ Bucket, ...input }));
const signed = (Command, input) => getSignedUrl(s3, new Command({ Bucket, ...input }), { expiresIn: 3600 });
const big = readFileSync(`${WORKDIR}/big`);
const sha256 = (...buffers) => buffers.reduce((hash, b) => hash.update(b), createHash("sha256")).digest("hex");

// site serves the page from an origin of its own. Where a form's answer sends the browser, it serves that too.
async function site() {
  const script = readFileSync(`${BUILD}/page.js`);
  const server = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : '<!doctype html><link rel="icon" href="data:,"><body><script src="/page.js"></script>');
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

const forbidden = (what, promise) => assert.rejects(promise, /Failed to fetch|XMLHttpRequest failed/, `${what} was not forbidden`);
const isThere = (Key) => send(HeadObjectCommand, { Key }).then(() => true, (e) => (e.name === "NotFound" ? false : Promise.reject(e)));

// Where the bucket has no CORS rules no other origin's script sees or changes anything.
async function withoutRules(tab) {
  await send(PutObjectCommand, { Key: "big", Body: big });
  await forbidden("a GET", tab.call("get", await signed(GetObjectCommand, { Key: "big" })));
  await forbidden("a PUT", tab.call("put", await signed(PutObjectCommand, { Key: "forbidden" }), 1));
  await forbidden("a DELETE", tab.call("get", await signed(DeleteObjectCommand, { Key: "big" }), { method: "DELETE" }));
  assert.deepEqual([await isThere("forbidden"), await isThere("big")], [false, true]);
  console.log("no rules: GET, PUT and DELETE of another origin's script are forbidden");
}

// A link needs no CORS: the browser goes there itself.
async function download(browser, tab) {
  const downloadPath = `${WORKDIR}/downloads`;
  mkdirSync(downloadPath);
  await browser.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath, eventsEnabled: true });
  const done = new Promise((resolve, reject) => {
    browser.on("Browser.downloadProgress", ({ state }) => state === "completed" ? resolve() : state === "canceled" && reject(new Error("the download was cancelled")));
  });
  await tab.call("link", await signed(GetObjectCommand, { Key: "big", ResponseContentDisposition: 'attachment; filename="größe 1.bin"; filename*=UTF-8\'\'gr%C3%B6%C3%9Fe%201.bin' }));
  await tab.evaluate(`document.querySelector("a").click()`);
  await done;
  assert.ok(big.equals(readFileSync(`${downloadPath}/größe 1.bin`)));
  console.log("download by a presigned link, with its file name");
}

async function withRules(browser, home, tab) {
  await send(PutBucketCorsCommand, {
    CORSConfiguration: {
      CORSRules: [{ AllowedOrigins: [home.origin], AllowedMethods: ["GET", "PUT", "POST"], AllowedHeaders: ["content-type", "x-amz-*", "amz-sdk-*", "authorization"], ExposeHeaders: ["ETag"], MaxAgeSeconds: 60 }],
    },
  });
  // A rule holds on every gateway within a second or so; a page that asks at once may be early.
  for (const end = Date.now() + 60_000; ; ) {
    try { await tab.call("get", await signed(GetObjectCommand, { Key: "big" })); break; } catch (e) { if (Date.now() > end) throw e; }
  }
  await allowed(tab);
  await parts(tab);
  await stillForbidden(browser, tab);
}

async function allowed(tab) {
  const put = await tab.call("put", await signed(PutObjectCommand, { Key: "put" }), 20, { "Content-Type": "text/x-page" });
  assert.equal(put.status, 200);
  assert.ok(put.progress.length > 1 && put.progress.at(-1) === 20 * blockBytes, `progress: ${put.progress}`);
  assert.match(put.etag, /^"[0-9a-f]{32}"$/);
  assert.equal(put.requestId, null, "a header that is not exposed is seen");
  const got = await tab.call("get", await signed(GetObjectCommand, { Key: "put" }));
  assert.deepEqual([got.status, got.etag, got.sha256], [200, put.etag, sha256(...blocks(20))]);
  const part = await tab.call("get", await signed(GetObjectCommand, { Key: "put" }), { headers: { Range: "bytes=1000-1999" } });
  assert.deepEqual([part.status, part.sha256], [206, sha256(block(0).subarray(1000, 2000))]);
  const none = await tab.call("get", await signed(GetObjectCommand, { Key: "none" }));
  assert.equal(none.status, 404, "an error is seen as such");
  const changed = await tab.call("get", (await signed(GetObjectCommand, { Key: "put" })).replace(/.$/, (c) => (c === "0" ? "1" : "0")));
  assert.equal(changed.status, 403);
  console.log("with rules: PUT with progress, GET, a range, errors");
}

async function parts(tab) {
  const config = { endpoint, region, credentials: { accessKeyId, secretAccessKey } };
  const done = await tab.call("uploadParts", config, Bucket, "parts", partMegabytes);
  assert.match(done.etag, new RegExp(`-${partMegabytes / 5}"$`));
  assert.ok(done.events >= partMegabytes / 5 && done.loaded === partMegabytes * blockBytes, `progress: ${done.events} events, ${done.loaded} bytes`);
  const want = createHash("sha256"), got = createHash("sha256");
  for (let i = 0; i < partMegabytes; i++) want.update(block(i));
  for await (const chunk of (await send(GetObjectCommand, { Key: "parts" })).Body) got.update(chunk);
  assert.equal(got.digest("hex"), want.digest("hex"));
  console.log(`${partMegabytes} MiB in parallel parts by the AWS SDK, with progress`);
}

async function stillForbidden(browser, tab) {
  await forbidden("DELETE, which no rule has,", tab.call("get", await signed(DeleteObjectCommand, { Key: "put" }), { method: "DELETE" }));
  await forbidden("a header that no rule has", tab.call("put", await signed(PutObjectCommand, { Key: "forbidden" }), 1, { "x-other": "1" }));
  const other = await site();
  const stranger = await browser.open(`${other.origin}/`);
  await forbidden("a stranger's GET", stranger.call("get", await signed(GetObjectCommand, { Key: "put" })));
  await forbidden("a stranger's PUT", stranger.call("put", await signed(PutObjectCommand, { Key: "forbidden" }), 1));
  await stranger.close();
  other.close();
  assert.deepEqual([await isThere("forbidden"), await isThere("put")], [false, true]);
  console.log("with rules: another method, another header, another origin are forbidden");
}

// A form needs no CORS either: the browser leaves the page with it.
async function forms(home, tab) {
  writeFileSync("file.txt", "from a form");
  const fill = async (key, ...conditions) => {
    const { url, fields } = await createPresignedPost(s3, { Bucket, Key: key, Conditions: conditions, Fields: { success_action_redirect: `${home.origin}/done`, "Content-Type": "text/x-form" } });
    await tab.call("form", url, fields);
    await tab.choose(`${WORKDIR}/file.txt`);
    await tab.navigates(() => tab.evaluate(`document.querySelector("button").click()`));
  };
  await fill("forms/${filename}", ["content-length-range", 1, 100]);
  const done = new URL(await tab.evaluate("location.href"));
  assert.deepEqual([done.origin, done.pathname, done.searchParams.get("bucket"), done.searchParams.get("key")], [home.origin, "/done", Bucket, "forms/file.txt"]);
  const got = await send(GetObjectCommand, { Key: "forms/file.txt" });
  assert.deepEqual([await got.Body.transformToString(), got.ContentType, done.searchParams.get("etag")], ["from a form", "text/x-form", got.ETag]);
  await fill("forms/long", ["content-length-range", 1, 5]);
  assert.match(await tab.evaluate("document.documentElement.textContent"), /EntityTooLarge/);
  assert.equal(await isThere("forms/long"), false);
  await tab.navigates(() => tab.send("Page.navigate", { url: `${home.origin}/` }));
  console.log("POST form: redirect with bucket, key and ETag; too long is refused");
}

async function formsByScript(tab) {
  const { url, fields } = await createPresignedPost(s3, { Bucket, Key: "script", Fields: { success_action_status: "201" } });
  const answer = await tab.call("postForm", url, fields, "from a script");
  assert.equal(answer.status, 201);
  assert.match(answer.text, /<Key>script<\/Key>/);
  console.log("POST form by a script");
}

const browser = new Browser(`${WORKDIR}/profile`);
const home = await site();
process.once("SIGTERM", () => browser.close().then(() => process.exit(1)));
try {
  console.log((await browser.send("Browser.getVersion")).product);
  await send(CreateBucketCommand);
  const page = await browser.open(`${home.origin}/`);
  await withoutRules(page);
  await download(browser, page);
  await forms(home, page);
  await withRules(browser, home, page);
  await formsByScript(page);
} finally {
  await browser.close();
  home.close();
}
