//! A real PDP: Cerbos with the policy in `tests/pdp/cerbos`, which refuses every field that it does not know.
//!
//! It is run where it is asked for, with the path of the program (npm `@cerbos/cerbos-linux-x64`):
//!
//! ```text
//! CERBOS=…/cerbos cargo test -p baokit-service --test policy_cerbos -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use baokit_core::http::{Failure, FailureKind, Request, Response};
use baokit_core::{Host, Now};
use baokit_service::caller::{Caller, SenderKey};
use baokit_service::policy::{Pdp, Question, ResourceAttributes};
use baokit_service::purpose::Purpose;
use baokit_service::settings::Settings;

/// A host that blocks: one connection for each request.
struct Blocking(Instant);

impl Host for Blocking {
    fn now(&self) -> Now {
        Now { monotonic: self.0.elapsed(), wall: SystemTime::UNIX_EPOCH.elapsed().unwrap() }
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| RandomState::new().build_hasher().finish() as u8);
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        exchange(&request).map_err(|error| Failure::new(FailureKind::AfterSend, error.to_string()))
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

fn exchange(request: &Request) -> std::io::Result<Response> {
    let mut socket = TcpStream::connect((request.node().host(), request.node().port()))?;
    let body = request.body().map(|body| body.as_ref().to_vec()).unwrap_or_default();
    write!(socket, "{} {} HTTP/1.0\r\n", request.method().as_str(), request.target())?;
    write!(socket, "Host: {}:{}\r\nContent-Length: {}\r\n", request.node().host(), request.node().port(), body.len())?;
    for header in request.headers() {
        write!(socket, "{}: {}\r\n", header.name(), header.expose())?;
    }
    socket.write_all(b"\r\n")?;
    socket.write_all(&body)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut response = Response::new(status, body.as_bytes().to_vec().into());
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        response = response.header(name, value.as_bytes());
    }
    Ok(response)
}

fn blocked<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// Killed when the test is over.
struct Cerbos(Child, u16);

impl Drop for Cerbos {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Cerbos {
    fn start() -> Self {
        let program = std::env::var("CERBOS").unwrap_or_else(|_| panic!("CERBOS is the path of the program"));
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (port, grpc) = (free(), free());
        let child = Command::new(program)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pdp/cerbos"))
            .args(["server", "--config=config.yaml", "--log-level=error"])
            .arg(format!("--set=server.httpListenAddr=127.0.0.1:{port}"))
            .arg(format!("--set=server.grpcListenAddr=127.0.0.1:{grpc}"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let cerbos = Self(child, port);
        for _ in 0..300 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return cerbos;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("it does not start");
    }
}

#[test]
#[ignore = "needs Cerbos: see the head of the file"]
fn cerbos_takes_the_question_and_judges_by_subject_purpose_uri_and_owner() {
    let cerbos = Cerbos::start();
    let url = format!("http://127.0.0.1:{}", cerbos.1);
    let lookup = |key: &str| match key {
        "PDP_URL" => Some(url.clone()),
        "ENABLE_AUTHORIZATION" => Some("true".to_owned()),
        _ => None,
    };
    let pdp = Pdp::new(&Settings::from_lookup(lookup).unwrap().pdp.unwrap());
    let host = Blocking(Instant::now());
    let mut caller = Caller::anonymous();
    caller.subject = Some("svc-billing".to_owned());
    caller.issuer = Some("https://issuer.example".to_owned());
    caller.client_id = Some("billing".to_owned());
    caller.audience = vec!["crud.secrets".to_owned()];
    caller.token_jti = Some("jti".to_owned());
    caller.sender_key = Some(SenderKey::CertificateThumbprint("thumb".to_owned()));
    caller.context.correlation_id = Some("corr".to_owned());
    caller.context.workflow_run_id = Some("run".to_owned());
    caller.context.node_id = Some("node".to_owned());
    caller.context.system_id = Some("system".to_owned());
    let nobody = Caller::anonymous();
    let ask = |caller, purpose, owner: Option<&str>| Question {
        tenant_id: "dev",
        caller,
        purpose,
        resource: "openbao+kv2://secret/app/api#token",
        attributes: ResourceAttributes { owner: owner.map(str::to_owned), ..ResourceAttributes::default() },
    };
    let cases = [
        (ask(&caller, Purpose::Execute, Some("team-billing")), true),
        (ask(&caller, Purpose::Rotate, Some("team-billing")), true),
        (ask(&caller, Purpose::Write, Some("team-billing")), false),
        (ask(&caller, Purpose::Execute, Some("team-other")), false),
        (ask(&caller, Purpose::Execute, None), false),
        (ask(&nobody, Purpose::Execute, Some("team-billing")), false),
    ];
    for (question, permit) in &cases {
        let decision = blocked(pdp.evaluate(&host, question)).unwrap();
        assert_eq!(decision.permit, *permit, "{question:?}");
    }
    // Each of another secret: one batch.
    let names: Vec<_> = (0..cases.len()).map(|i| format!("openbao+kv2://secret/app/{i}")).collect();
    let apart = cases
        .iter()
        .zip(&names)
        .map(|((question, permit), name)| (Question { resource: name, ..question.clone() }, *permit));
    let (questions, permits): (Vec<_>, Vec<_>) = apart.cycle().take(50).unzip();
    let decisions = blocked(pdp.evaluate_all(&host, &questions)).unwrap();
    assert_eq!(decisions.iter().map(|decision| decision.permit).collect::<Vec<_>>(), permits);
    // All of one secret with different owners, which Cerbos would judge by the first.
    let (questions, permits): (Vec<_>, Vec<_>) = cases.iter().cycle().take(120).cloned().unzip();
    let decisions = blocked(pdp.evaluate_all(&host, &questions)).unwrap();
    assert_eq!(decisions.iter().map(|decision| decision.permit).collect::<Vec<_>>(), permits);
}
