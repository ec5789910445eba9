// The entry for Workers, where a module is imported as such, and each request lives in a context of
// its own.

import module from "../wasm/baokit_bg.wasm";
import { platform } from "../host.js";
import { initSync } from "../wasm/baokit.js";

initSync({ module });
platform.wakesAcrossTasks = false;
// There are no cookies and no referrer to leave out, OpenBao itself says what may not be cached, and
// workerd refuses the options about all three where the compatibility date is older.
platform.init = { redirect: "manual" };

export * from "../client.js";
