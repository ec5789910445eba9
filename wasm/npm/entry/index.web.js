// The entry for browsers, their bundlers, and Deno: the module is fetched from beside the code.

import load from "../wasm/baokit.js";

await load({ module_or_path: new URL("../wasm/baokit_bg.wasm", import.meta.url) });

export * from "../client.js";
