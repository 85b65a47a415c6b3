/* Keeps every file of one version, named in this script's address (sw.js?v=…), and answers from what it keeps.
   A version is complete or not there: each file is checked against the manifest's SHA-256 as it comes in. */
"use strict";

const PREFIX = "fieldnotes-";
const version = new URL(location.href).searchParams.get("v");
const here = new URL(self.registration.scope);
const cacheName = PREFIX + version;

async function fill() {
  const response = await fetch("./manifest.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`manifest.json: ${response.status}`);
  const manifest = await response.clone().json();
  if (manifest.version !== version) throw new Error("another version is being published");
  const cache = await caches.open(cacheName);
  const kept = await keptFiles();
  await Promise.all(
    Object.entries(manifest.files).map(async ([path, sha256]) => {
      const body = (await kept.get(sha256)?.()) ?? (await download(path, sha256));
      await cache.put(path, body);
    }),
  );
  await cache.put("./manifest.json", response);
}

async function download(path, sha256) {
  const digest = btoa(String.fromCharCode(...sha256.match(/../g).map((pair) => parseInt(pair, 16))));
  const response = await fetch(path, { cache: "no-cache", integrity: `sha256-${digest}` });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}

/* Files that an earlier version has too need no second download: their hash says that they are the same. */
async function keptFiles() {
  const kept = new Map();
  for (const name of await caches.keys()) {
    if (!name.startsWith(PREFIX) || name === cacheName) continue;
    const cache = await caches.open(name);
    const manifest = await (await cache.match("./manifest.json"))?.json();
    for (const [path, sha256] of Object.entries(manifest?.files ?? {})) kept.set(sha256, () => cache.match(path));
  }
  return kept;
}

async function dropOthers() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== cacheName);
  await Promise.all(names.map((name) => caches.delete(name)));
}

async function answer(request, path) {
  const cache = await caches.open(cacheName);
  return (await cache.match(path)) ?? fetch(request);
}

self.addEventListener("install", (event) => {
  /* Where the browser can, calls to the sync API do not even wake this worker. */
  event.addRoutes?.([{ condition: { urlPattern: new URLPattern({ pathname: "/_api/*" }) }, source: "network" }])?.catch(() => {});
  event.waitUntil(fill());
});

self.addEventListener("activate", (event) => event.waitUntil(dropOthers().then(() => self.clients.claim())));

self.addEventListener("message", (event) => {
  if (event.data === "activate") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || request.cache === "no-store" || url.origin !== here.origin) return;
  if (url.pathname.startsWith("/_api/") || !url.pathname.startsWith(here.pathname)) return;
  const path = url.pathname.slice(here.pathname.length) || "index.html";
  event.respondWith(answer(request, `./${path}`));
});
