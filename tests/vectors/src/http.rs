//! Just enough HTTP/1.1, by hand: requests byte for byte as they came, and answers that may be wrong.
//!
//! It reads requests with `Content-Length` only, which is what every client here sends.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 48 * 1024 * 1024;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if !version.starts_with("HTTP/1.") || words.next().is_some() {
            return None;
        }
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        let headers = headers.collect::<Option<_>>()?;
        Some(Self { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() })
    }
}

/// One connection, with what was read of it beyond the last request.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        // Answers are small and go out at once; where that fails, they go out a little later.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: Vec::new() }
    }

    /// The next request; none where the client has closed the connection before one.
    pub async fn read(&mut self) -> io::Result<Option<Request>> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(malformed("a head that is too long"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(malformed("half a head")) };
            }
        };
        let mut rest = self.buffer.split_off(end);
        let head = std::mem::take(&mut self.buffer);
        let rest = rest.split_off(4);
        let head = String::from_utf8(head).map_err(|_| malformed("a head that is not UTF-8"))?;
        let mut request = Request::parse(&head).ok_or_else(|| malformed("a head that is not HTTP/1.1"))?;
        if request.header("transfer-encoding").is_some() {
            return Err(malformed("a body without a length"));
        }
        let length = match request.header("content-length") {
            Some(length) => length.parse().map_err(|_| malformed("a length that is no number"))?,
            None => 0,
        };
        if length > MAX_BODY {
            return Err(malformed("a body that is too long"));
        }
        self.buffer = rest;
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(malformed("half a body"));
            }
        }
        let rest = self.buffer.split_off(length);
        request.body = std::mem::replace(&mut self.buffer, rest);
        Ok(Some(request))
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// A whole answer in JSON, on a connection that stays open.
    pub async fn write_json(&mut self, status: u16, body: &str) -> io::Result<()> {
        let head =
            format!("HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        self.write(&[head.as_bytes(), body.as_bytes()].concat()).await
    }

    /// Ends the connection in order.
    pub async fn finish(mut self) {
        // The other side may be gone already.
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        // Where it can't be had, closing with a request unanswered serves as well.
        let _ = self.stream.set_zero_linger();
    }

    /// Waits until the client closes the connection, and forgets what it still sends.
    pub async fn until_closed(mut self) {
        let mut bytes = [0; 4096];
        while let Ok(1..) = self.stream.read(&mut bytes).await {}
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_taken_apart_without_changing_a_byte_of_the_target() {
        let request = Request::parse("GET /v1/a%20b?x=1 HTTP/1.1\r\nHost: h\r\nX-Vault-Token:  t ").unwrap();
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/v1/a%20b?x=1"));
        assert_eq!(request.header("x-vault-token"), Some("t"));
        assert!(Request::parse("GET /a b HTTP/1.1").is_none());
        assert!(Request::parse("GET /a").is_none());
    }
}
