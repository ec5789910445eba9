//! The program on real clusters of each version, as a user runs it: from nothing to a client's environment within the
//! time that is promised, again without a change, after faults, and after a kill at any moment; and no secret anywhere
//! but in its own file. Needs the servers of `tests/openbao/fetch`, HAProxy and `ps`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use baokit::{Client, Code};
use ha_cluster::{Cluster, ProcessState};
use serde_json::{Value, json};
use support::{Place, Ran, code, until};

/// What is promised from a built program and a fetched server to the client's environment.
const THREE: Duration = Duration::from_secs(60);
const FIVE: Duration = Duration::from_secs(75);

/// `up` for a new cluster, timed.
fn timed_up(place: &Place, nodes: &str, version: &str, limit: Duration) -> Ran {
    let start = Instant::now();
    let ran = place.run(["up", "--nodes", nodes, "--version", version]).ok();
    let took = start.elapsed();
    println!("up: {nodes} nodes of {version} in {:.1} s", took.as_secs_f64());
    assert!(took < limit, "{took:?}\n{}", ran.err);
    ran
}

fn status(place: &Place) -> (Option<i32>, Value) {
    let start = Instant::now();
    let ran = place.run(["status", "--format", "json"]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    (ran.status, serde_json::from_str(&ran.out).unwrap())
}

/// All files but those that OpenBao and HAProxy write, with their content.
fn own_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in files(folder) {
        let is_theirs = path.components().any(|part| part.as_os_str() == "data");
        if !is_theirs && path.extension().is_none_or(|extension| extension != "log") {
            let content = fs::read(&path).unwrap();
            found.insert(path, content);
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn ps(columns: &str) -> String {
    let output = Command::new("ps").args(["-axww", "-o", columns]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The ids of the processes whose command lines name this folder: nodes and HAProxy.
fn ours(place: &Place) -> Vec<String> {
    let config = format!("{}/", place.path().display());
    let is_ours = |line: &&str| line.contains(&config) && (line.contains("bao server") || line.contains("haproxy -db"));
    let listing = ps("pid=,command=");
    listing.lines().filter(is_ours).filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// What nobody else may see, by its name.
fn secrets(place: &Place) -> Vec<(String, String)> {
    let keys: Value = serde_json::from_str(&place.text("keys.json")).unwrap();
    let client: Value = serde_json::from_str(&place.text("client.json")).unwrap();
    let shares = keys["unseal_keys_b64"].as_array().unwrap();
    assert_eq!(shares.len(), 5);
    let shares = shares.iter().map(|share| ("an unseal key".to_owned(), share));
    let others = [("the root token", &keys["root_token"]), ("the secret id", &client["secret_id"])];
    let all = shares.chain(others.map(|(name, value)| (name.to_owned(), value)));
    all.map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
}

#[track_caller]
fn assert_clean(text: &[u8], secrets: &[(String, String)], place: &str) {
    for (name, secret) in secrets {
        let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{name} is in {place}");
    }
}

/// Looks at all command lines again and again until it is told to end.
fn watch_processes(end: &Arc<AtomicBool>) -> thread::JoinHandle<String> {
    let end = Arc::clone(end);
    thread::spawn(move || {
        let mut seen = String::new();
        while !end.load(Ordering::Relaxed) {
            seen.push_str(&ps("command="));
            thread::sleep(Duration::from_millis(100));
        }
        seen
    })
}

/// No secret in logs, command lines, environments, what the program says unasked, nor open files.
fn keeps_its_secrets(place: &Place, processes: &str, said: &str) {
    let secrets = secrets(place);
    assert_clean(processes.as_bytes(), &secrets, "a command line");
    assert_clean(said.as_bytes(), &secrets, "the progress of up");
    for arguments in [["status", "--format=json"], ["logs", "--lines=100000"]] {
        let ran = place.run(arguments);
        assert_clean((ran.out + &ran.err).as_bytes(), &secrets, arguments[0]);
    }
    let asked = place.run(["env"]).ok().out;
    let only_keys: Vec<_> = secrets.iter().filter(|(name, _)| name != "the secret id").cloned().collect();
    assert_clean(asked.as_bytes(), &only_keys, "env");

    let mut logs = 0;
    for path in files(place.path()) {
        let open = fs::metadata(&path).unwrap().permissions().mode() & 0o077 != 0;
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        assert!(!open, "{} can be read by others", path.display());
        if is_log {
            logs += 1;
            assert_clean(&fs::read(&path).unwrap(), &secrets, &path.display().to_string());
        }
    }
    assert!(logs >= 4, "three nodes and HAProxy write logs");
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o700);
    if Path::new("/proc/self/environ").exists() {
        for pid in ours(place) {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
            assert!(environment.starts_with(b"HOME="), "it is the process's own");
            assert_clean(&environment, &secrets, "an environment");
        }
    }
}

/// The environment as a shell takes it from `env`.
fn evaluated(place: &Place, arguments: &str) -> BTreeMap<String, String> {
    let program = env!("CARGO_BIN_EXE_ha-cluster");
    let script = format!("eval \"$('{program}' env {arguments} --dir '{}')\" && env", place.path().display());
    let output = Command::new("sh").args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.filter(|(key, _)| !["PWD", "SHLVL", "_", "PATH"].contains(key)).map(|(k, v)| (k.into(), v.into())).collect()
}

fn quickstart(environment: &BTreeMap<String, String>) {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "-p", "quickstart"]).envs(environment).stdin(Stdio::null());
    let ran = Ran::new(command.output().unwrap()).ok();
    assert!(ran.out.ends_with("quickstart: ok\n"), "{}", ran.out);
}

/// The client may do with secrets what baokit does, and nothing else.
async fn least_privilege(place: &Place) {
    let client = place.open().client_builder().unwrap().build().unwrap();
    for refused in [
        code(client.sys().mounts().await),
        code(client.sys().policy("crudservice").await),
        code(client.sys().put_policy("crudservice", "").await),
        code(client.sys().raft().configuration().await),
        code(client.sys().app_role("approle").unwrap().secret_id("crudservice").await),
    ] {
        assert_eq!(refused, Code::PermissionDenied);
    }
    let body = |text: Value| Some(baokit::SecretValue::from(text));
    let (data, versions) = (json!({"data": {"a": 1}}), json!({"versions": [1]}));
    for (method, path, sent) in [
        ("POST", "data", body(data.clone())),
        ("GET", "data", None),
        ("PATCH", "data", body(data)),
        ("DELETE", "data", None),
        ("POST", "delete", body(versions.clone())),
        ("POST", "undelete", body(versions.clone())),
        ("POST", "destroy", body(versions)),
        ("POST", "metadata", body(json!({"custom_metadata": {"owner": "me"}}))),
        ("PATCH", "metadata", body(json!({"custom_metadata": {"owner": "you"}}))),
        ("GET", "metadata", None),
        ("DELETE", "metadata", None),
    ] {
        let done = client.request(method, &format!("secret/{path}/privilege/one"), sent).await;
        assert!(done.is_ok(), "{method} {path}: {done:?}");
    }
    client.write("openbao+kv2://secret/privilege/two#a", "1").await.unwrap();
    client.request("LIST", "secret/metadata/privilege", None).await.unwrap();
}

/// The whole story of one cluster.
async fn from_nothing_to_down(version: &str) {
    let place = Place::new().await;
    let end = Arc::new(AtomicBool::new(false));
    let watcher = watch_processes(&end);
    let up = timed_up(&place, "3", version, THREE);
    end.store(true, Ordering::Relaxed);
    let processes = watcher.join().unwrap();

    // The environment.
    assert_eq!(up.out, place.run(["env"]).ok().out);
    let balanced = evaluated(&place, "");
    let names: Vec<&str> = balanced.keys().map(String::as_str).collect();
    let expected = ["OPENBAO_CACERT", "OPENBAO_ROLE_ID", "OPENBAO_SECRET_ID", "OPENBAO_URL", "TENANT_ALLOWED_MOUNTS"];
    assert_eq!(names, expected);
    let object: BTreeMap<String, String> =
        serde_json::from_str(&place.run(["env", "--format", "json"]).ok().out).unwrap();
    assert_eq!(object, balanced);
    let direct = evaluated(&place, "--nodes");
    assert_eq!(direct["OPENBAO_URL"].split(',').count(), 3);
    let (code, healthy) = status(&place);
    assert_eq!((code, &healthy["healthy"]), (Some(0), &json!(true)), "{healthy}");
    assert!(healthy["nodes"].as_array().unwrap().iter().all(|node| node["version"] == version));
    least_privilege(&place).await;

    // Again: nothing changes.
    let (files, processes_before) = (own_files(place.path()), ours(&place));
    assert_eq!(processes_before.len(), 4);
    let again = place.run(["up"]).ok();
    assert!(again.err.lines().all(|line| line.starts_with("    ok  ")), "{}", again.err);
    assert_eq!((own_files(place.path()), ours(&place), again.out), (files, processes_before, up.out));
    for contradiction in [["--nodes", "5"], ["--version", "1.2.3"], ["--port-base", "1234"]] {
        place.run(["up"].iter().chain(&contradiction)).refused(&["leave that option out"]);
    }

    keeps_its_secrets(&place, &processes, &up.err);
    faults_are_mended(&place);
    a_leader_steps_down(&place);

    // Down, up with the same data, and away.
    let client = place.open().client_builder().unwrap().build().unwrap();
    client.write("openbao+kv2://secret/kept#it", "kept").await.unwrap();
    place.run(["stop", "node-3"]).ok();
    place.run(["down"]).ok();
    assert!(ours(&place).is_empty());
    assert_eq!(status(&place).0, Some(1));
    place.run(["down"]).ok();
    place.run(["up"]).ok();
    let kept = client.read("openbao+kv2://secret/kept#it").await.unwrap();
    assert_eq!(kept.expose_str().unwrap(), "kept");
    // HAProxy takes the nodes in turn.
    for environment in [&direct, &balanced, &balanced, &balanced] {
        quickstart(environment);
    }
    fs::write(place.file("notes.txt"), "mine").unwrap();
    let down = place.run(["down", "--delete-data"]).ok();
    assert!(down.out.contains("notes.txt"), "{}", down.out);
    assert_eq!(files_of(&place), ["notes.txt"]);
    assert!(ours(&place).is_empty());
}

fn files_of(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// A node killed, the leader stopped, HAProxy ended: the status says so at once, and `up` mends it.
fn faults_are_mended(place: &Place) {
    let killed = place.run(["kill", "node-2"]).ok().out;
    assert!(killed.contains("node-2"), "{killed}");
    place.run(["kill", "node-2"]).refused(&["node-2 is not running"]);
    place.run(["kill", "node-4"]).refused(&["has no node-4", "node-1, node-2, node-3"]);
    let (code, seen) = status(place);
    assert_eq!((code, &seen["nodes"][1]["process"]), (Some(1), &json!("down")));
    let mended = place.run(["up"]).ok();
    assert!(mended.err.contains("started node-2") && mended.err.contains("unseal         node-2"), "{}", mended.err);

    let stopped = place.run(["stop", "leader"]).ok().out;
    let (code, seen) = status(place);
    assert_eq!(code, Some(1));
    assert!(seen["nodes"].as_array().unwrap().iter().any(|node| node["process"] == "stopped"), "{stopped}{seen}");
    let mended = place.run(["up"]).ok();
    assert!(mended.err.contains("continued node-"), "{}", mended.err);
    assert_eq!(status(place).0, Some(0));

    let balancer = ours(place).into_iter().find(|pid| {
        ps("pid=,command=")
            .lines()
            .any(|line| line.trim_start().starts_with(&format!("{pid} ")) && line.contains("haproxy"))
    });
    Command::new("kill").arg(balancer.unwrap()).status().unwrap();
    until_blocking("HAProxy is down", || status(place).1["balancer"]["process"] == "down");
    let mended = place.run(["up"]).ok();
    assert!(mended.err.contains("HAProxy serves on") && mended.err.contains("(started)"), "{}", mended.err);
}

fn a_leader_steps_down(place: &Place) {
    let said = place.run(["step-down"]).ok().out;
    assert!(said.contains("gave up its place; node-"), "{said}");
    until_blocking("it is healthy", || status(place).0 == Some(0));
}

fn until_blocking(what: &str, is_true: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_true() {
        assert!(Instant::now() < end, "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test]
async fn from_nothing_to_down_on_2_7_2() {
    from_nothing_to_down("2.7.2").await;
}

#[tokio::test]
async fn from_nothing_to_down_on_2_6_2() {
    from_nothing_to_down("2.6.2").await;
}

#[tokio::test]
async fn five_nodes() {
    let place = Place::new().await;
    timed_up(&place, "5", "2.7.2", FIVE);
    let (code, seen) = status(&place);
    assert_eq!((code, seen["nodes"].as_array().unwrap().len()), (Some(0), 5), "{seen}");
}

/// Starts `up` and ends it at once when it tells of this step.
#[track_caller]
fn kill_up_at(place: &Place, step: &str) {
    let mut child = place.command(["up"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = Vec::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let seen = lines.any(|line| {
        let is_step = line.split_whitespace().nth(1) == Some(step);
        said.push(line);
        is_step
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen, "it ended before the step {step}: {said:#?}");
}

#[tokio::test]
async fn an_up_that_was_killed_is_carried_on() {
    // After each step in turn.
    let place = Place::new().await;
    for step in ["folder", "server", "certificates", "configuration", "processes"] {
        kill_up_at(&place, step);
    }
    assert!(!place.file("keys.json").exists());
    kill_up_at(&place, "initialise");
    // As if it had been killed before it had the keys that the server made.
    fs::rename(place.file("keys.json"), place.file("kept.json")).unwrap();
    place.run(["up"]).refused(&["node-1 is initialised", "keys.json", "down --delete-data"]);
    fs::write(place.file(".ha-cluster.keys.json.new"), "{\"unseal_keys").unwrap();
    fs::remove_file(place.file("kept.json")).unwrap();
    kill_up_at(&place, "unseal");
    // What it stored is kept, should anybody need it after all.
    let kept: Vec<_> = fs::read_dir(place.file("node-1")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for name in ["data.abandoned-", "keys.json.abandoned-"] {
        assert!(kept.iter().any(|kept| kept.to_str().unwrap().starts_with(name)), "{kept:?}");
    }
    for step in ["voters", "access", "balancer"] {
        kill_up_at(&place, step);
    }
    place.run(["up"]).ok();
    assert_eq!(status(&place).0, Some(0));

    // At moments that nobody chose.
    let place = Place::beside();
    for moment in (0..40).map(|turn| Duration::from_millis(50 + 77 * turn)) {
        let mut child = place.command(["up"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        if place.file("keys.json").exists() && moment > Duration::from_secs(2) {
            break;
        }
    }
    place.run(["up"]).ok();
    assert_eq!(status(&place).0, Some(0));
    assert_eq!(ours(&place).len(), 4, "no process twice");
}

/// Side by side, and the second one down.
async fn two_clusters_do_not_meet(one: &Place, two: &Place) {
    let (first, running) = (one.open(), ours(one));
    let mut ids = Vec::new();
    for cluster in [&first, &two.open()] {
        ids.push(cluster.operator().unwrap().sys().health().await.unwrap().cluster_id.unwrap());
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ours(two).len(), 3);
    two.run(["down"]).ok();
    assert!(ours(two).is_empty());
    assert_eq!(ours(one), running);
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_on_a_cluster() {
    let (place, other) = (Place::new().await, Place::beside());
    // HAProxy is missing: the nodes stay up, and the next `up` goes on from there.
    let ran = Ran::new(place.command(["up"]).env("HAPROXY_BIN", "/nowhere/haproxy").output().unwrap());
    ran.refused(&["/nowhere/haproxy", "install the package haproxy"]);
    assert_eq!(ours(&place).len(), 3);
    place.run(["env", "--nodes"]).ok();
    let (code, seen) = status(&place);
    assert_eq!((code, &seen["nodes"][0]["sealed"]), (Some(1), &json!(false)));
    place.run(["up"]).ok();

    // Two at once.
    place.run(["kill", "node-3"]).ok();
    let mut first = place.command(["up"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(first.stderr.take().unwrap()).read_line(&mut line).unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let lock = fs::File::open(place.file(".ha-cluster.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    for command in ["up", "down"] {
        place.run([command]).refused(&["another ha-cluster command is at work", "wait until it is done"]);
    }
    drop(lock);

    // The data of another cluster.
    kill_up_at(&other, "voters");
    two_clusters_do_not_meet(&place, &other).await;
    let (data, kept) = (place.file("node-3/data"), place.file("node-3/data.kept"));
    let _ = place.run(["kill", "node-3"]);
    fs::rename(&data, &kept).unwrap();
    fs::rename(other.file("node-2/data"), &data).unwrap();
    let said = place.run(["up"]).refused(&["node-3", "data of another cluster", "kill node-3"]);
    assert_clean(said.err.as_bytes(), &secrets(&place), "the error");
    // What is advised: moved away, and the node joins as a new one.
    place.run(["kill", "node-3"]).ok();
    fs::rename(&data, place.file("node-3/data.foreign")).unwrap();
    place.run(["up"]).ok();
    assert_eq!(status(&place).0, Some(0));

    // The keys are gone, or are no keys.
    let keys = place.text("keys.json");
    fs::remove_file(place.file("keys.json")).unwrap();
    place.run(["up"]).refused(&["is initialised", "keys.json is missing", "put the right keys.json back"]);
    fs::write(place.file("keys.json"), "").unwrap();
    place.run(["up"]).refused(&["keys.json is empty"]);
    fs::write(place.file("keys.json"), &keys).unwrap();
    // The credential is gone: another one is made.
    fs::remove_file(place.file("client.json")).unwrap();
    place.run(["env"]).refused(&["no credential"]);
    place.run(["up"]).ok();
    let cluster = place.open();
    let client = cluster.client_builder().unwrap().build().unwrap();
    client.lookup_self().await.unwrap();

    // From Rust: a crash, and just that node again.
    let leader = cluster.leader().await.unwrap();
    cluster.kill(leader).await.unwrap();
    assert_eq!(cluster.process_state(leader).unwrap(), ProcessState::Down);
    until("another leads", async || cluster.leader().await.is_ok_and(|id| id != leader)).await;
    cluster.start(leader).await.unwrap();
    until("all is well", async || cluster.status().await.unwrap().is_healthy()).await;
    assert_eq!(cluster.process_ids(leader).unwrap().len(), 1);

    a_root_token_that_is_refused_is_named(&place);
    a_node_that_was_removed_is_named(&place, &cluster).await;
}

fn a_root_token_that_is_refused_is_named(place: &Place) {
    let keys = place.text("keys.json");
    let mut broken: Value = serde_json::from_str(&keys).unwrap();
    broken["root_token"] = json!("s.wrong");
    fs::write(place.file("keys.json"), broken.to_string()).unwrap();
    let start = Instant::now();
    for command in ["up", "step-down"] {
        place.run([command]).refused(&["root token", "keys.json", "generate-root"]);
    }
    assert!(start.elapsed() < Duration::from_secs(30), "it is not waited for");
    let (_, seen) = status(place);
    assert!(seen["problems"].to_string().contains("refuse the root token"), "{seen}");
    fs::write(place.file("keys.json"), keys).unwrap();
}

/// It goes on serving what it knew, and HAProxy sends it requests.
async fn a_node_that_was_removed_is_named(place: &Place, cluster: &Cluster) {
    let leader = cluster.leader().await.unwrap();
    let (ghost, url) = cluster.nodes().find(|(id, _)| *id != leader).unwrap();
    let root = cluster.root_token().unwrap();
    // Each question by a client of its own, which knows nothing of what was written.
    let at = |url: String| {
        let builder = Client::builder().url(url).ca_pem(cluster.ca_pem().unwrap()).allowed_mounts(["secret"]);
        builder.token(root.expose_str().unwrap()).build().unwrap()
    };
    let uri = "openbao+kv2://secret/removed#it";
    let read = async |url: &str| at(url.to_owned()).read(uri).await.ok()?.expose_str().ok().map(str::to_owned);
    let leader = at(cluster.url(leader).unwrap());
    leader.write(uri, "before").await.unwrap();
    until("it knows the old value", async || read(&url).await.as_deref() == Some("before")).await;
    leader.sys().raft().remove_peer(&ghost.to_string()).await.unwrap();
    leader.write(uri, "after").await.unwrap();
    assert_eq!(read(&url).await.as_deref(), Some("before"), "what it knew");

    let (code, seen) = status(place);
    let (problems, advice) = (seen["problems"].to_string(), format!("kill {ghost}"));
    assert_eq!(code, Some(1));
    assert!(problems.contains("no member of the cluster any more") && problems.contains(&advice), "{seen}");
    place.run(["up"]).refused(&["no member of the cluster any more", &advice]);
}
