// The entry for Node and Bun: the module is read from the disk, so that nothing waits.

import { readFileSync } from "node:fs";
import { initSync } from "../wasm/testing.js";

initSync({ module: readFileSync(new URL("../wasm/testing_bg.wasm", import.meta.url)) });

export * from "../testing.js";
