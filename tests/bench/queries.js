// The baseline of queries: plain JavaScript reads all records and filters, sorts or groups them itself.
() => {
  const settled = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  let database;

  async function fill(name) {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      const store = request.result.createObjectStore("people", { keyPath: "_key" });
      store.createIndex("email", "email");
      store.createIndex("created_at", "created_at");
    };
    database = await settled(request);
    const transaction = database.transaction("people", "readwrite", { durability: "relaxed" });
    for (const document of benchDocuments) transaction.objectStore("people").put(document);
    await new Promise((resolve) => (transaction.oncomplete = resolve));
  }

  const reading = () => database.transaction("people").objectStore("people");
  const all = () => settled(reading().getAll());
  const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

  const work = {
    equality: async () => (await all()).filter((p) => p.address.city === "Graz"),
    top: async () =>
      (await all())
        .filter((p) => p.age > 40)
        .sort((a, b) => b.score - a.score || byText(a.name, b.name))
        .slice(0, 20),
    group: async () => {
      const groups = new Map();
      for (const p of await all()) groups.set(p.address.city, (groups.get(p.address.city) ?? 0) + 1);
      return [...groups].sort((a, b) => byText(a[0], b[0])).map(([city, n]) => ({ city, n }));
    },
    range: async () => settled(reading().index("created_at").getAll(IDBKeyRange.bound("2025-03-10", "2025-03-15", false, true))),
    indexed: async (emails) => {
      const found = [];
      for (const email of emails) found.push(...(await settled(reading().index("email").getAll(email))));
      return found;
    },
  };

  globalThis.plainQueries = {
    fill,
    run: async ([name, emails]) => {
      const began = performance.now();
      const found = await work[name](emails);
      return [performance.now() - began, found.length];
    },
  };
}
