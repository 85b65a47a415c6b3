// The baseline: a page that keeps one record a document in IndexedDB, as one would write it in plain JavaScript.
() => {
  const settled = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const committed = (transaction) =>
    new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  let database;

  async function open(name) {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("people", { keyPath: "_key" });
    database = await settled(request);
  }

  const writing = () => database.transaction("people", "readwrite", { durability: "relaxed" });
  const reading = () => database.transaction("people").objectStore("people");

  async function putAll(documents) {
    const transaction = writing();
    const store = transaction.objectStore("people");
    for (const document of documents) store.put(document);
    await committed(transaction);
  }

  async function putOne(document) {
    const transaction = writing();
    transaction.objectStore("people").put(document);
    await committed(transaction);
  }

  async function mergePage(changes) {
    const transaction = writing();
    const store = transaction.objectStore("people");
    for (const change of changes) {
      store.get(change.key).onsuccess = ({ target }) => {
        const at = target.result?._timestamp ?? "";
        if (at < change.timestamp) store.put({ ...change.document, _key: change.key, _timestamp: change.timestamp });
      };
    }
    await committed(transaction);
  }

  async function timed(work) {
    const began = performance.now();
    await work();
    return performance.now() - began;
  }

  globalThis.plain = {
    open,
    close: async () => database.close(),
    bulk: () => timed(() => putAll(benchDocuments)),
    reads: () =>
      timed(async () => {
        for (const key of benchKeys) if (!(await settled(reading().get(key)))) throw new Error(`no ${key}`);
      }),
    saves: () =>
      timed(async () => {
        for (const document of benchMore) await putOne(document);
      }),
    all: () =>
      timed(async () => {
        const found = await settled(reading().getAll());
        if (found.length < benchDocuments.length) throw new Error(`${found.length} documents`);
      }),
    openAndRead: ([name, key]) =>
      timed(async () => {
        await open(name);
        if (!(await settled(reading().get(key)))) throw new Error(`no ${key}`);
      }),
    mergeAll: () =>
      timed(async () => {
        for (const text of benchAnswers) await mergePage(JSON.parse(text).server_changes);
      }),
    fetchAndPut: (address) =>
      timed(async () => {
        const response = await fetch(address);
        if (!response.ok) throw new Error(`${address}: ${response.status}`);
        await putAll(await response.json());
      }),
  };
}
