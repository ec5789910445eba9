//! Reading a policy: the HCL that policies are written in, or the same as JSON.
//! Constraints that the model would have to enforce and does not are refused, so that no test passes
//! because a rule was ignored.

use super::policy::{Capabilities, Rule};
use crate::json::Json;

/// The rules of a policy text.
pub(crate) fn parse(source: &str) -> Result<Vec<Rule>, String> {
    if source.trim_start().starts_with('{') {
        return from_json(source);
    }
    let tokens = tokens(source)?;
    let mut reader = Reader { tokens: &tokens, at: 0, lines: source.lines().count().max(1), source };
    let mut rules = Vec::new();
    while let Some((token, line, column)) = reader.next() {
        match token {
            Token::Word(word) => match reader.peek() {
                Some(Token::Equal) if word == "name" => {
                    reader.next();
                    reader.value()?;
                }
                Some(Token::Equal) => {
                    return Err(format!("1 error occurred:\n\t* invalid key {word:?} on line {line}\n\n"));
                }
                Some(Token::Word(_) | Token::Text(_)) if word == "path" => rules.push(reader.rule()?),
                _ => {
                    let (line, column) = reader.end();
                    return Err(format!(
                        "At {line}:{column}: key '{word}' expected start of object ('{{') or assignment ('=')"
                    ));
                }
            },
            other => {
                let name = other.name();
                return Err(format!("At {line}:{column}: expected: IDENT | STRING | ASSIGN | LBRACE got: {name}"));
            }
        }
    }
    Ok(rules)
}

fn from_json(source: &str) -> Result<Vec<Rule>, String> {
    let root = crate::json::parse(source.as_bytes())?;
    let Some(Json::Object(paths)) = root.as_ref().and_then(|root| root.get("path")) else {
        return Ok(Vec::new());
    };
    let mut rules = Vec::new();
    for (path, body) in paths {
        let mut rule = Rule::new(path)?;
        if let Json::Object(pairs) = body {
            for (key, value) in pairs {
                let words = match value {
                    Json::List(items) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
                    Json::Text(word) => vec![word.clone()],
                    _ => Vec::new(),
                };
                set(&mut rule, key, words, 1)?;
            }
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// Puts one setting of a path block into its rule.
fn set(rule: &mut Rule, key: &str, words: Vec<String>, line: usize) -> Result<(), String> {
    let place = format!("path {:?}", rule.pattern());
    match key {
        "capabilities" => {
            for word in words {
                let Some(one) = Capabilities::named(&word) else {
                    return Err(format!("{place}: {place}: invalid capability {word:?}"));
                };
                rule.capabilities = rule.capabilities.and(one);
            }
        }
        "policy" => {
            let word = words.into_iter().next().unwrap_or_default();
            let Some(all) = Capabilities::of_legacy(&word) else {
                return Err(format!("{place}: {place}: invalid policy {word:?}"));
            };
            rule.capabilities = rule.capabilities.and(all);
        }
        "comment" => {}
        "allowed_parameters"
        | "denied_parameters"
        | "required_parameters"
        | "min_wrapping_ttl"
        | "max_wrapping_ttl"
        | "pagination_limit"
        | "expiration"
        | "response_keys_filter_path"
        | "list_scan_response_keys_filter_path"
        | "mfa_methods"
        | "control_group" => {
            return Err(format!("{place}: {key} is not modelled by the dev server"));
        }
        _ => return Err(format!("{place}: 1 error occurred:\n\t* invalid key {key:?} on line {line}\n\n")),
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number,
    Equal,
    Comma,
    Open,
    Close,
    OpenList,
    CloseList,
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::Word(_) => "IDENT",
            Token::Text(_) => "STRING",
            Token::Number => "NUMBER",
            Token::Equal => "ASSIGN",
            Token::Comma => "COMMA",
            Token::Open => "LBRACE",
            Token::Close => "RBRACE",
            Token::OpenList => "LBRACK",
            Token::CloseList => "RBRACK",
        }
    }
}

type Placed = (Token, usize, usize);

fn tokens(source: &str) -> Result<Vec<Placed>, String> {
    let mut out = Vec::new();
    let mut chars = source.chars().peekable();
    let (mut line, mut column) = (1, 0);
    while let Some(c) = chars.next() {
        column += 1;
        let start = (line, column);
        let token = match c {
            '\n' => {
                line += 1;
                column = 0;
                continue;
            }
            c if c.is_whitespace() => continue,
            '#' => {
                while chars.next_if(|&c| c != '\n').is_some() {}
                continue;
            }
            '/' if chars.next_if_eq(&'/').is_some() => {
                while chars.next_if(|&c| c != '\n').is_some() {}
                continue;
            }
            '/' if chars.next_if_eq(&'*').is_some() => {
                let mut last = ' ';
                let mut closed = false;
                for c in chars.by_ref() {
                    if c == '\n' {
                        line += 1;
                        column = 0;
                    }
                    if last == '*' && c == '/' {
                        closed = true;
                        break;
                    }
                    last = c;
                }
                if !closed {
                    return Err(format!("At {line}:{column}: comment not terminated"));
                }
                continue;
            }
            '"' => {
                let mut text = String::new();
                loop {
                    column += 1;
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => {
                            column += 1;
                            match chars.next() {
                                Some('n') => text.push('\n'),
                                Some('t') => text.push('\t'),
                                Some(c @ ('"' | '\\')) => text.push(c),
                                _ => return Err(format!("At {line}:{column}: illegal char escape")),
                            }
                        }
                        Some('\n') | None => return Err(format!("At {line}:{column}: literal not terminated")),
                        Some(c) => text.push(c),
                    }
                }
                Token::Text(text)
            }
            '=' => Token::Equal,
            ',' => Token::Comma,
            '{' => Token::Open,
            '}' => Token::Close,
            '[' => Token::OpenList,
            ']' => Token::CloseList,
            c if c.is_ascii_digit() => {
                while chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '.').is_some() {
                    column += 1;
                }
                Token::Number
            }
            c if c.is_alphabetic() || c == '_' => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || "_-.".contains(*c)) {
                    column += 1;
                    word.push(c);
                }
                Token::Word(word)
            }
            _ => return Err(format!("At {line}:{column}: illegal character")),
        };
        out.push((token, start.0, start.1));
    }
    Ok(out)
}

struct Reader<'a> {
    tokens: &'a [Placed],
    at: usize,
    lines: usize,
    source: &'a str,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Placed> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, ..)| token)
    }

    /// Line and column just behind the last character.
    fn end(&self) -> (usize, usize) {
        (self.lines, self.source.lines().last().unwrap_or_default().chars().count() + 2)
    }

    /// `"pattern" { … }`, the word `path` having been read.
    fn rule(&mut self) -> Result<Rule, String> {
        let pattern = match self.next() {
            Some((Token::Text(text) | Token::Word(text), ..)) => text,
            _ => return Err("path without a pattern".into()),
        };
        let mut rule = Rule::new(&pattern)?;
        match self.next() {
            Some((Token::Open, ..)) => {}
            _ => return Err(format!("path {pattern:?}: expected '{{'")),
        }
        loop {
            match self.next() {
                Some((Token::Close, ..)) => return Ok(rule),
                Some((Token::Comma, ..)) => {}
                Some((Token::Word(key) | Token::Text(key), line, _)) => {
                    // A block such as `allowed_parameters { … }` has no equals sign.
                    if self.peek() == Some(&Token::Equal) {
                        self.next();
                        let words = self.value().map_err(|e| match key.as_str() {
                            "capabilities" => format!("path {pattern:?}: path {pattern:?}: {e}"),
                            _ => e,
                        })?;
                        let (words, is_list, line_, column) = words;
                        if key == "capabilities" && !is_list {
                            return Err(format!(
                                "path {pattern:?}: path {pattern:?}: At {line_}:{column}: unknown slice type: *ast.LiteralType"
                            ));
                        }
                        set(&mut rule, &key, words, line)?;
                    } else {
                        set(&mut rule, &key, Vec::new(), line)?;
                    }
                }
                Some((other, line, column)) => {
                    return Err(format!("At {line}:{column}: unexpected {}", other.name()));
                }
                None => {
                    let (line, column) = self.end();
                    return Err(format!("At {line}:{column}: object expected closing RBRACE got: EOF"));
                }
            }
        }
    }

    /// A value: a word, a number, or a list of words; with whether it was a list, and its place.
    fn value(&mut self) -> Result<(Vec<String>, bool, usize, usize), String> {
        match self.next() {
            Some((Token::Text(text) | Token::Word(text), line, column)) => Ok((vec![text], false, line, column)),
            Some((Token::Number, line, column)) => Ok((Vec::new(), false, line, column)),
            Some((Token::OpenList, line, column)) => {
                let mut words = Vec::new();
                loop {
                    match self.next() {
                        Some((Token::CloseList, ..)) => return Ok((words, true, line, column)),
                        Some((Token::Comma, ..)) => {}
                        Some((Token::Text(text), ..)) => words.push(text),
                        _ => return Err("error parsing list".into()),
                    }
                }
            }
            _ => Err("expected a value".into()),
        }
    }
}
