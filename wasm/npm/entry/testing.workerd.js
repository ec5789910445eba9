// The entry for Workers, where a module is imported as such.

import module from "../wasm/testing_bg.wasm";
import { initSync } from "../wasm/testing.js";

initSync({ module });

export * from "../testing.js";
