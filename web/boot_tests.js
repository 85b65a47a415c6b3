// Starts Python in a page for tests: Pyodide, our wheel, then the script that <html data-script> names, if any.
// `ready` resolves once all that is done. The app itself starts by boot.js.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const root = new URL("./", import.meta.url);

async function fetched(path) {
    const response = await fetch(new URL(path, root));
    if (!response.ok) throw new Error(`${path}: ${response.status} ${response.statusText}`);
    return response;
}

async function start() {
    const [pyodide, wheel] = await Promise.all([
        loadPyodide({ indexURL: new URL("pyodide/", root).href }),
        fetched("pysync_web.whl").then((response) => response.arrayBuffer()),
    ]);
    globalThis.pyodide = pyodide;
    const extractDir = pyodide.runPython("import sysconfig; sysconfig.get_path('purelib')");
    pyodide.unpackArchive(wheel, "wheel", { extractDir });
    const script = document.documentElement.dataset.script;
    if (script) await pyodide.runPythonAsync(await (await fetched(script)).text(), { filename: script });
}

globalThis.ready = start();
