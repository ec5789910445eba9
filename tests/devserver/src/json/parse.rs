//! Reading JSON: the accepted grammar, the limits and the error texts of the real server.

use super::Json;

/// The server refuses a body with more strings than this, keys among them.
const MAX_STRINGS: usize = 1000;
/// The real server allows 10,000 levels. Values are walked recursively here, so the limit is lower.
const MAX_DEPTH: usize = 512;

/// Reads the first value of a body. An empty body is `None`; values after the first are checked and
/// dropped, as the server does.
pub fn parse(body: &[u8]) -> Result<Option<Json>, String> {
    let mut parser = Parser { body, at: 0, strings: 0, depth: 0 };
    parser.spaces();
    if parser.peek().is_none() {
        return Ok(None);
    }
    let first = parser.value()?;
    parser.spaces();
    while parser.peek().is_some() {
        parser.value()?;
        parser.spaces();
    }
    Ok(Some(first))
}

struct Parser<'a> {
    body: &'a [u8],
    at: usize,
    strings: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or_else(end)?;
        self.at += 1;
        Ok(byte)
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Json, String> {
        match self.peek().ok_or_else(end)? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::list),
            b'"' => {
                self.at += 1;
                self.text().map(Json::Text)
            }
            b't' => self.literal("true", Json::Bool(true)),
            b'f' => self.literal("false", Json::Bool(false)),
            b'n' => self.literal("null", Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            other => Err(unexpected(other, "looking for beginning of value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Json, String>) -> Result<Json, String> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("exceeded max depth".into());
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut pairs = std::collections::BTreeMap::new();
        self.spaces();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(Vec::new()));
        }
        loop {
            self.spaces();
            match self.next()? {
                b'"' => {}
                other => return Err(unexpected(other, "looking for beginning of value")),
            }
            let key = self.text()?;
            self.spaces();
            match self.next()? {
                b':' => {}
                other => return Err(unexpected(other, "after object key")),
            }
            self.spaces();
            let value = self.value()?;
            // The last of several equal keys wins.
            pairs.insert(key, value);
            self.spaces();
            match self.next()? {
                b'}' => return Ok(Json::Object(pairs.into_iter().collect())),
                b',' => self.no_trailing_comma(b'}')?,
                other => return Err(unexpected(other, "after object key:value pair")),
            }
        }
    }

    fn list(&mut self) -> Result<Json, String> {
        let mut items = Vec::new();
        self.spaces();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(items));
        }
        loop {
            self.spaces();
            items.push(self.value()?);
            self.spaces();
            match self.next()? {
                b']' => return Ok(Json::List(items)),
                b',' => self.no_trailing_comma(b']')?,
                other => return Err(unexpected(other, "after array element")),
            }
        }
    }

    /// A comma before the closing bracket is the comma's fault in the server's words.
    fn no_trailing_comma(&mut self, close: u8) -> Result<(), String> {
        self.spaces();
        if self.peek() == Some(close) {
            return Err(unexpected(b',', "looking for beginning of value"));
        }
        Ok(())
    }

    fn literal(&mut self, word: &str, value: Json) -> Result<Json, String> {
        for expected in word.bytes() {
            let found = self.next()?;
            if found != expected {
                let place = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(unexpected(found, &place));
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Json, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        // A leading zero stands alone.
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let bytes = self.body.get(start..self.at).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.parse::<f64>().is_ok_and(f64::is_infinite) {
            return Err(format!("json: cannot unmarshal number {text} into Go value of type float64"));
        }
        Ok(Json::Number(text))
    }

    fn digits(&mut self) -> Result<(), String> {
        match self.next()? {
            b'0'..=b'9' => {}
            other => return Err(unexpected(other, "in numeric literal")),
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    /// The rest of a string whose opening quote has been read.
    fn text(&mut self) -> Result<String, String> {
        self.strings += 1;
        if self.strings > MAX_STRINGS {
            return Err("exceeded maximum number of strings".into());
        }
        let mut out: Vec<u8> = Vec::new();
        loop {
            match self.next()? {
                // Bytes that are not UTF-8 become the replacement character.
                b'"' => return Ok(String::from_utf8_lossy(&out).into_owned()),
                b'\\' => {
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                control @ 0..=0x1f => return Err(unexpected(control, "in string")),
                byte => out.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        Ok(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                let rest = self.body.get(self.at..).unwrap_or_default();
                if (0xd800..0xdc00).contains(&high) && rest.starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    let low = self.hex4()?;
                    if (0xdc00..0xe000).contains(&low) {
                        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
                    }
                    self.at = back;
                }
                // A lone surrogate is no character.
                char::from_u32(high).unwrap_or('\u{fffd}')
            }
            other => {
                return Err(format!("invalid escape sequence `\\{}` in string", char::from(other)));
            }
        })
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let digits = self.body.get(self.at..self.at + 4).ok_or_else(end)?;
        let digits = String::from_utf8_lossy(digits).into_owned();
        self.at += 4;
        match u32::from_str_radix(&digits, 16) {
            Ok(code) if !digits.starts_with('+') => Ok(code),
            _ => Err(format!("invalid escape sequence `\\u{digits}` in string")),
        }
    }
}

fn end() -> String {
    "unexpected EOF".into()
}

fn unexpected(byte: u8, place: &str) -> String {
    let shown = match byte {
        b'\'' => "\\'".to_owned(),
        b'"' => "\"".to_owned(),
        other => char::from(other).escape_default().to_string(),
    };
    format!("invalid character '{shown}' {place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_keys_wins_and_keys_are_sorted() {
        let value = parse(br#"{"b":1,"a":2,"b":3}"#).unwrap().unwrap();
        assert_eq!(value.write(), r#"{"a":2,"b":3}"#);
    }

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        let value = parse(br#"["\ud800","\ud83d\ude00","\ud800\u0041"]"#).unwrap().unwrap();
        assert_eq!(value.write(), "[\"\u{fffd}\",\"😀\",\"\u{fffd}A\"]");
    }

    #[test]
    fn deep_nesting_is_refused_and_never_overflows() {
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()).unwrap_err(), "exceeded max depth");
    }

    #[test]
    fn any_bytes_parse_or_fail_without_panic() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let _ = parse(&[b'{', b'"', a, b, b'"', b':', a, b, b'}']);
                let _ = parse(&[b'[', b'"', b'\\', a, b, b'"', b']']);
            }
        }
    }
}
