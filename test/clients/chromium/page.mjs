// What runs in the page: each function does one thing that pages do, and returns what a page can see of the answer.
import { S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { blocks } from "./content.mjs";

const seen = (status, header) => ({ status, etag: header("ETag"), requestId: header("x-amz-request-id") });

// put sends megabytes with XMLHttpRequest, which alone tells of progress.
function put(url, megabytes, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const progress = [];
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (e) => progress.push(e.loaded);
    request.onload = () => resolve({ ...seen(request.status, (name) => request.getResponseHeader(name)), progress });
    request.onerror = () => reject(new TypeError("XMLHttpRequest failed"));
    request.send(new Blob(blocks(megabytes)));
  });
}

// get reads with fetch, and returns the SHA-256 of what came.
async function get(url, options = {}) {
  const answer = await fetch(url, options);
  const body = await answer.arrayBuffer();
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  return { ...seen(answer.status, (name) => answer.headers.get(name)), bytes: body.byteLength, sha256: sum.toHex?.() ?? [...sum].map((b) => b.toString(16).padStart(2, "0")).join("") };
}

// uploadParts sends a file in parallel parts.
async function uploadParts(config, Bucket, Key, megabytes) {
  const client = new S3Client({ ...config, forcePathStyle: true });
  const upload = new Upload({ client, params: { Bucket, Key, Body: new File(blocks(megabytes), "file") }, queueSize: 4 });
  let events = 0, loaded = 0;
  upload.on("httpUploadProgress", (progress) => {
    events++;
    loaded = Math.max(loaded, progress.loaded);
  });
  const done = await upload.done();
  return { etag: done.ETag, events, loaded };
}

// form makes a form that a person could fill in.
function form(url, fields) {
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: url, enctype: "multipart/form-data" });
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  }
  form.append(Object.assign(document.createElement("input"), { type: "file", name: "file" }));
  form.append(Object.assign(document.createElement("button"), { type: "submit" }));
  document.body.replaceChildren(form);
}

// postForm sends a form from a script.
async function postForm(url, fields, text) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  data.append("file", new Blob([text]), "name.txt");
  const answer = await fetch(url, { method: "POST", body: data });
  return { ...seen(answer.status, (name) => answer.headers.get(name)), text: await answer.text() };
}

// link makes a link that a person could click.
function link(href) {
  document.body.replaceChildren(Object.assign(document.createElement("a"), { href, textContent: "download" }));
}

window.page = { put, get, uploadParts, form, postForm, link };
