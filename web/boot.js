/* Starts the page: lays it out, fetches Python and our files side by side, shows how far that is, runs demo.py,
   then sees to it that the next start needs no network. Everything else is Python. */
"use strict";

const root = document.documentElement;
const wantedDevice = new URLSearchParams(location.search).get("device");
const wide = matchMedia("(min-width: 1100px)");

function layOut() {
  root.dataset.layout = wide.matches && !wantedDevice ? "bench" : "single";
  root.dataset.device = wantedDevice === "phone" ? "phone" : "tablet";
}

/* The phone's markup is the tablet's; the page is drawn before Python is there, so it is copied here. */
function addPhone() {
  const bench = document.getElementById("bench");
  for (const selector of ['[data-link="tablet"]', '[data-device="tablet"]']) {
    const copy = bench.querySelector(selector).cloneNode(true);
    if (copy.dataset.link) copy.dataset.link = "phone";
    else copy.dataset.device = "phone";
    bench.append(copy);
  }
  const phone = bench.querySelector('[data-device="phone"]');
  phone.setAttribute("aria-label", "Phone");
  phone.querySelector('[data-part="name"]').textContent = "Phone";
  bench.querySelector('[data-link="phone"] .cable').setAttribute("aria-label", "Phone’s network cable");
}

const pageReady = new Promise((resolve) => {
  if (document.readyState !== "loading") resolve();
  else document.addEventListener("DOMContentLoaded", resolve, { once: true });
});

/* How far the start is. Bytes are counted on a second reading of each answer, which leaves the browser's own
   compiling while downloading (and its cache of compiled code) alone. */
const progress = {
  expected: new Map([["pyodide.asm.wasm", 9.6e6], ["python_stdlib.zip", 4.6e6], ["pyodide.asm.mjs", 1.25e6]]),
  got: new Map(),
  stage: "",
  drawing: false,

  add(name, bytes) {
    this.got.set(name, (this.got.get(name) ?? 0) + bytes);
    this.draw();
  },

  say(stage) {
    this.stage = stage;
    this.draw();
  },

  draw() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      const bar = document.getElementById("boot-bar");
      if (!bar || document.readyState === "loading") return; // the rest of the card may not be there yet
      let got = 0;
      let all = 0;
      for (const [name, bytes] of this.expected) {
        all += bytes;
        got += Math.min(this.got.get(name) ?? 0, bytes);
      }
      const share = this.stage ? 1 : got / all;
      bar.value = 0.9 * share + (this.stage === "Opening your notes" ? 0.07 : 0);
      document.getElementById("boot-title").textContent = this.stage || "Getting ready to work offline";
      document.getElementById("boot-text").textContent =
        share < 1
          ? `${(got / 1e6).toFixed(1)} of ${(all / 1e6).toFixed(1)} MB. Only the first visit needs this.`
          : "A moment more.";
    });
  },
};

function countDownloads() {
  const fetchPlain = window.fetch;
  window.fetch = async (...call) => {
    const response = await fetchPlain(...call);
    const name = response.url.split("/").pop();
    if (response.ok && progress.expected.has(name)) countBytes(name, response.clone());
    return response;
  };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const name = entry.name.split("/").pop();
      if (name.endsWith(".mjs") && progress.expected.has(name)) progress.add(name, Infinity);
    }
  }).observe({ type: "resource", buffered: true });
  return () => {
    window.fetch = fetchPlain;
  };
}

async function countBytes(name, response) {
  const length = Number(response.headers.get("content-length"));
  if (length && !response.headers.get("content-encoding")) progress.expected.set(name, length);
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return progress.add(name, Infinity);
    progress.add(name, value.byteLength);
  }
}

async function get(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) throw new Error(`${path}: the server answered ${response.status}`);
  return response;
}

async function startPython() {
  // Pyodide would run each task on a stack of its own, for run_sync, which nothing here calls. Where Chromium notes
  // the stacks of some allocations, as it does by chance, it reads past the end of such a stack and the tab is gone.
  delete WebAssembly.Suspending;
  const { loadPyodide } = await import("./pyodide/pyodide.mjs");
  return loadPyodide({
    indexURL: "./pyodide/",
    env: { HOME: "/home/pyodide", PYTHONDONTWRITEBYTECODE: "1" },
  });
}

async function fetchOurs() {
  const archive = async (path) => [path, new Uint8Array(await (await get(path)).arrayBuffer())];
  const manifest = get("./manifest.json").then((response) => response.json());
  return { archives: await Promise.all(["pysync_web.whl", "demo.zip"].map(archive)), manifest: await manifest };
}

async function start() {
  const controlled = navigator.serviceWorker?.controller;
  const stopCounting = controlled ? () => {} : countDownloads();
  const starting = startPython();
  starting.catch(() => {}); // reported by the Promise.all below
  pageReady.then(addPhone);
  const [pyodide, ours] = await Promise.all([starting, fetchOurs()]);
  stopCounting();
  await pageReady;
  progress.say("Opening your notes");
  for (const [path, bytes] of ours.archives) addToPath(pyodide, `/home/pyodide/${path}`, bytes);
  await pyodide.pyimport("demo").start();
  leaveBootCard();
  await stayOffline(ours.manifest.version);
}

/* Python imports from archives as they are, and unpacks only what it imports. */
function addToPath(pyodide, path, bytes) {
  pyodide.FS.writeFile(path, bytes);
  pyodide.pyimport("sys").path.insert(0, path);
}

function leaveBootCard() {
  const card = document.getElementById("boot");
  card.dataset.leaving = "";
  setTimeout(() => card.remove(), 250);
}

async function failed(error) {
  console.error(error);
  await pageReady;
  const card = document.getElementById("boot");
  if (!card) return;
  card.dataset.failed = "";
  card.setAttribute("role", "alert");
  document.getElementById("boot-title").textContent = "Field notes could not start";
  document.getElementById("boot-text").textContent =
    typeof WebAssembly === "undefined"
      ? "This browser has no WebAssembly, which Python needs."
      : `What is on this device is untouched. ${lastLine(error)}`;
  document.getElementById("boot-bar").hidden = true;
  const retry = document.getElementById("boot-retry");
  retry.hidden = false;
  retry.addEventListener("click", () => location.reload());
}

/* Python's errors come with their whole traceback; its last line says what happened. */
function lastLine(error) {
  return String(error.message ?? error).trim().split("\n").pop().replace(/^[\w.]+: /, "");
}

/* The service worker's address names the version, so a new version is a new worker; it waits until the person agrees. */
async function stayOffline(version) {
  if (!navigator.serviceWorker) return;
  await offerUpdates(version);
  const look = async () => {
    try {
      const published = await (await get("./manifest.json", { cache: "no-store" })).json();
      if (published.version !== version) await offerUpdates(published.version);
    } catch {
      /* no network: there is nothing newer to be had */
    }
  };
  if (navigator.serviceWorker.controller) look();
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look());
}

async function offerUpdates(version) {
  const address = `./sw.js?v=${encodeURIComponent(version)}`;
  const registration = await navigator.serviceWorker.register(address, { updateViaCache: "none" });
  const offerWaiting = () => {
    if (registration.waiting && navigator.serviceWorker.controller) offer(registration.waiting);
  };
  offerWaiting();
  const follow = (worker) => worker?.addEventListener("statechange", offerWaiting);
  follow(registration.installing);
  registration.addEventListener("updatefound", () => follow(registration.installing));
}

function offer(worker) {
  const card = document.getElementById("update");
  card.hidden = false;
  document.getElementById("update-later").onclick = () => (card.hidden = true);
  document.getElementById("update-reload").onclick = () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    worker.postMessage("activate");
  };
}

layOut();
wide.addEventListener("change", layOut);
start().catch(failed);
