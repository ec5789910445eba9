// The entry for Node and Bun: the module is read from the disk, so that nothing waits.

import { readFileSync } from "node:fs";
import { initSync } from "../wasm/baokit.js";

initSync({ module: readFileSync(new URL("../wasm/baokit_bg.wasm", import.meta.url)) });

export * from "../client.js";
