//! Clients that are slow on purpose: each is cut off in its time, and others are served meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use support::{Folder, Service};

/// What a client that sends this and no more gets until it is cut off, and how long that takes.
fn cut_off(service: &Service, text: &str) -> (String, Duration) {
    let mut socket = TcpStream::connect(service.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let begun = Instant::now();
    socket.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset is closed, too; one that stays open is neither.
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{text}: {error}");
    }
    (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
}

#[test]
#[ignore = "takes half a minute: tests/run service"]
fn who_does_not_shake_hands_or_send_on_is_cut_off_and_holds_nobody_up() {
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (certificate, key) =
        (folder.write("tls.pem", &certificate.pem()), folder.write("tls.key", &key.serialize_pem()));
    let secure = Service::start(&[("TLS_CERT", &certificate), ("TLS_KEY", &key)]);
    let plain = Service::start(&[]);
    std::thread::scope(|scope| {
        let handshake = scope.spawn(|| cut_off(&secure, "\u{16}\u{3}"));
        let head = scope.spawn(|| cut_off(&plain, "GET /healthz HTTP/1.1\r\nHost:"));
        let body =
            "POST /api/secrets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
        let body = scope.spawn(|| cut_off(&plain, body));
        let idle = scope.spawn(|| cut_off(&plain, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(plain.get("/healthz", &[]).status, 200);
        let seconds = |(_, time): &(String, Duration)| time.as_secs();
        assert!((9..20).contains(&seconds(&handshake.join().unwrap())));
        assert!((29..40).contains(&seconds(&head.join().unwrap())));
        let body = body.join().unwrap();
        assert!(
            (29..40).contains(&seconds(&body))
                && ["408", "BODY_TIMEOUT", "no-store"].iter().all(|text| body.0.contains(text)),
            "{body:?}"
        );
        let idle = idle.join().unwrap();
        assert!((29..40).contains(&seconds(&idle)) && idle.0.contains("200 OK"), "{idle:?}");
    });
}
