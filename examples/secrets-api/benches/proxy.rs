//! What enforcement costs: the Secrets API's rate beside that of a bare axum proxy to the same real OpenBao.
//!
//! ```text
//! tests/openbao/fetch 2.7.2 && cargo bench -p secrets-api
//! ```
//!
//! All are served by this one process, which also makes the requests, over keep-alive connections and in turn. It
//! prints rates, their ratios, and the processor time of a request in this process and in OpenBao, which a busy
//! machine changes less; and it judges none.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use baokit::service::Settings;
use baokit::{Client, Enforcer, SecretsApi};
use baokit_openbao::{Server, Version};
use serde_json::json;
use support::issuer::Issuer;
use support::{CANARY, VALUE, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// No more than the client keeps to OpenBao: beyond VAULT_POOL_SIZE, 10, it opens and closes them.
const CONNECTIONS: usize = 8;
/// Many and short, so that what else the machine does hits each of those that are compared.
const ROUNDS: usize = 40;
const ROUND: Duration = Duration::from_millis(300);

/// Where a proxy sends requests to, and with what token.
#[derive(Clone)]
struct Upstream {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// What anybody would write who only wants to hide the token.
async fn forward(State(upstream): State<Upstream>, request: Request) -> Response {
    let url = format!("{}{}", upstream.url, request.uri());
    let answer = upstream.http.get(url).header("x-vault-token", &upstream.token).send().await.unwrap();
    let (status, kind) = (answer.status(), answer.headers()[CONTENT_TYPE].clone());
    let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn api(server: &Server, issuer: Option<&str>) -> Router {
    let client = Client::builder().url(server.url()).token(server.root_token()).allowed_mounts(["secret"]);
    let settings = Settings::from_lookup(|key| match (key, issuer) {
        ("SECRETS_API_REQUIRE_AUTH" | "SECRETS_ENFORCE_SCOPES", Some(_)) => Some("true".to_owned()),
        ("OIDC_ISSUER", Some(issuer)) => Some(issuer.to_owned()),
        _ => None,
    });
    let enforcer = Enforcer::builder(client.build().unwrap(), settings.unwrap()).build().unwrap();
    baokit::axum::router(SecretsApi::new(enforcer))
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Sends one request after the other over one connection. How many were answered in the time.
async fn exchange(address: SocketAddr, request: String, end: Instant) -> u64 {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (mut answered, mut buffer) = (0, vec![0; 16 * 1024]);
    while Instant::now() < end {
        socket.write_all(request.as_bytes()).await.unwrap();
        let (mut read, mut whole) = (0, usize::MAX);
        while read < whole {
            read += socket.read(&mut buffer[read..]).await.unwrap();
            let text = std::str::from_utf8(&buffer[..read]).unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            if let Some(head) = text.find("\r\n\r\n") {
                let length = text.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
                whole = head + 4 + length.parse::<usize>().unwrap();
            }
        }
        answered += 1;
    }
    answered
}

/// What came of a round.
#[derive(Clone, Copy, Default)]
struct Round {
    answered: f64,
    seconds: f64,
    own_cpu: f64,
    server_cpu: f64,
}

/// The seconds that a process has spent on a processor: of its 14th and 15th field, in hundredths.
fn cpu(process: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is a name, which may hold anything.
    let fields: Vec<_> = text.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    (ticks(12) + ticks(13)) / 100.0
}

async fn round(server: &Server, address: SocketAddr, request: &str) -> Round {
    let (own, of_server) = (cpu("self"), cpu(&server.process_id().to_string()));
    let begun = Instant::now();
    let work: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(exchange(address, request.to_owned(), begun + ROUND))).collect();
    let mut answered = 0;
    for each in work {
        answered += each.await.unwrap();
    }
    Round {
        answered: answered as f64,
        seconds: begun.elapsed().as_secs_f64(),
        own_cpu: cpu("self") - own,
        server_cpu: cpu(&server.process_id().to_string()) - of_server,
    }
}

#[tokio::main]
async fn main() {
    // cargo says --bench, or which test is meant: this is neither.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (server, issuer) = (Server::start(Version::V2_7_2).unwrap(), Issuer::start());
    let token = [("X-Vault-Token", server.root_token())];
    let secret = json!({"data": {"token": CANARY}}).to_string();
    send(server.address(), "POST", "/v1/secret/data/app/api", &token, &secret);
    let upstream = Upstream {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: server.url().to_owned(),
        token: server.root_token().to_owned(),
    };
    let proxy = serve(Router::new().fallback(forward).with_state(upstream)).await;
    let (open, known) = (serve(api(&server, None)).await, serve(api(&server, Some(&issuer.url()))).await);
    let bearer = format!("Authorization: {}\r\n", issuer.bearer(json!({})));
    let get = |target: &str, more: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    let runs = [
        ("a bare proxy", proxy, get("/v1/secret/data/app/api", "")),
        ("the Secrets API, open", open, get(VALUE, "")),
        ("the Secrets API, a token it knows", known, get(VALUE, &bearer)),
    ];
    // Keys are fetched and pages touched before anything counts.
    for (_, address, request) in &runs {
        round(&server, *address, request).await;
    }
    let mut rounds = vec![Vec::new(); runs.len()];
    for _ in 0..ROUNDS {
        for ((_, address, request), rounds) in runs.iter().zip(&mut rounds) {
            rounds.push(round(&server, *address, request).await);
        }
    }
    println!("{CONNECTIONS} connections, {ROUNDS} rounds of {} ms each:", ROUND.as_millis());
    println!("{:36}{:>10}{:>8}{:>12}{:>12}", "", "a second", "ratio", "µs here", "µs OpenBao");
    let rate = |round: &Round| round.answered / round.seconds;
    for ((name, ..), own) in runs.iter().zip(&rounds) {
        let sum = |part: fn(&Round) -> f64| own.iter().map(part).sum::<f64>();
        let answered = sum(|round| round.answered);
        let ratio = median(own.iter().zip(&rounds[0]).map(|(own, bare)| rate(own) / rate(bare)).collect());
        let each = |seconds: f64| seconds * 1e6 / answered;
        let (here, there) = (each(sum(|round| round.own_cpu)), each(sum(|round| round.server_cpu)));
        println!("{name:<36}{:>10.0}{ratio:>8.2}{here:>12.0}{there:>12.0}", median(own.iter().map(rate).collect()));
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
