// The entry for browsers, their bundlers, and Deno: the module is fetched from beside the code.

import load from "../wasm/testing.js";

await load({ module_or_path: new URL("../wasm/testing_bg.wasm", import.meta.url) });

export * from "../testing.js";
