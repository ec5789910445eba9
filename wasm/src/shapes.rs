//! The plain objects that results become. JavaScript puts them together: what a field is called
//! stands in `npm/shapes.js`, and the module is smaller for it.

use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "../shapes.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = parseJson)]
    pub fn parse_json(text: &str) -> Result<JsValue, JsValue>;
    pub fn about(version: f64, created_time: &str, custom_metadata: JsValue) -> JsValue;
    pub fn change(old_version: f64, new_version: f64) -> JsValue;
    pub fn written(version: f64, created_time: &str) -> JsValue;
    pub fn renewal(lease_duration: f64, renewable: bool) -> JsValue;

    /// An object of texts.
    pub type Texts;
    #[wasm_bindgen(constructor)]
    pub fn new() -> Texts;
    #[wasm_bindgen(method)]
    pub fn add(this: &Texts, name: &str, value: &str);

    pub type Token;
    #[wasm_bindgen(constructor)]
    pub fn new(accessor: &str, ttl: f64, renewable: bool, num_uses: f64) -> Token;
    #[wasm_bindgen(method)]
    pub fn add(this: &Token, policy: &str);

    pub type Versions;
    #[wasm_bindgen(constructor)]
    pub fn new(current_version: f64, custom_metadata: JsValue) -> Versions;
    #[wasm_bindgen(method)]
    pub fn add(this: &Versions, version: f64, created_time: &str, deletion_time: Option<&str>, destroyed: bool);
}
