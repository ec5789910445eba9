//! Bad input that shows before any server is started: said plainly with what to do, and nothing of the user's touched.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Place, Ran};

/// Three ports, of which the last is held by the listener: the base, and the port of node-2 for other nodes.
fn held_port() -> (u16, TcpListener) {
    for _ in 0..100 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let base = port - 21;
        if [0, 10, 11, 20].iter().all(|step| TcpListener::bind(("127.0.0.1", base + step)).is_ok()) {
            return (base, listener);
        }
    }
    panic!("no free ports");
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left() {
    let place = Place::beside();
    let (base, listener) = held_port();
    let arguments = ["up", "--version", "2.7.2", "--port-base", &base.to_string()];
    let bao = fake_bao(&place);
    let ran = Ran::new(place.command(arguments).env("BAO_BIN", &bao).output().unwrap());
    let port = (base + 21).to_string();
    ran.refused(&[&port, "node-2", "--port-base"]);
    assert!(!place.file("cluster.json").exists());
    drop(listener);
    fs::remove_file(bao).unwrap();
}

/// A program that says to be OpenBao 2.7.2, beside the folder.
fn fake_bao(place: &Place) -> PathBuf {
    let path = place.path().with_extension("bao");
    write_program(&path, "echo 'OpenBao v2.7.2 (fake)'");
    path
}

fn write_program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder of a cluster whose nodes end as soon as they are started.
struct Made {
    place: Place,
    /// Where its server is, on `PATH`.
    programs: PathBuf,
    base: u16,
    up: Ran,
}

impl Made {
    fn new() -> Self {
        let place = Place::beside();
        let programs = place.path().with_extension("programs");
        fs::create_dir(&programs).unwrap();
        write_program(&programs.join("bao"), "echo 'OpenBao v9.9.9 (fake)'");
        let (base, listener) = held_port();
        drop(listener);
        let mut made = Self { place, programs, base, up: Ran::default() };
        // The version as `bao version` writes it.
        made.up = made.up(&["--version", "v9.9.9", "--port-base", &base.to_string()]);
        made
    }

    fn up(&self, arguments: &[&str]) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.programs.display());
        let mut command = self.place.command(["up"].iter().chain(arguments));
        Ran::new(command.env_remove("BAO_BIN").env("PATH", path).output().unwrap())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.programs);
    }
}

#[test]
fn bao_is_found_on_path_and_a_node_that_ends_at_once_is_named() {
    let made = Made::new();
    let up = &made.up;
    assert_eq!(up.status, Some(1), "{}", up.err);
    let program = made.programs.join("bao");
    for words in [&format!("OpenBao 9.9.9 from {}", program.display()), "node-1 ended after it was started"] {
        assert!(up.err.contains(words), "{words} is missing in {}", up.err);
    }
    assert!(made.place.text("cluster.json").contains("\"9.9.9\""));
    made.up(&["--version", "v9.9.9"]).refused(&["node-1 ended"]);
}

#[test]
fn a_port_that_was_taken_while_the_cluster_was_down_is_named() {
    let made = Made::new();
    let port = made.base + 21;
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let port = port.to_string();
    made.up(&[]).refused(&[&port, "node-2", "keeps its ports"]);
    // Who holds it may be the cluster itself, whose folder was moved.
    made.place.run(["down"]).refused(&[&port, "held by", "No file was removed"]);
    made.place.run(["down", "--delete-data"]).refused(&[&port]);
    assert!(made.place.run(["status"]).out.contains(&format!("port {port} is held by")));
    drop(listener);
    // Keys that can't be read are not the same as none.
    fs::create_dir(made.place.file("keys.json")).unwrap();
    assert!(made.place.run(["status"]).out.contains("could not read"));
    made.place.run(["down"]).ok();
    assert!(made.place.file("cluster.json").exists());
}

#[test]
fn processes_of_a_folder_that_was_moved_are_not_taken_for_its_successors() {
    let made = Made::new();
    let (place, old) = (&made.place, made.place.path().with_extension("old"));
    let folder = place.file("node-1");
    // A shell under the server's name, for which `server` is a script.
    fs::write(folder.join("server"), "while :; do sleep 0.1; done").unwrap();
    let mut command = Command::new("/bin/sh");
    command.arg0("bao").arg("server").arg(format!("-config={}", folder.join("node.hcl").display()));
    let mut node = command.current_dir(&folder).spawn().unwrap();

    fs::rename(place.path(), &old).unwrap();
    if cfg!(target_os = "linux") {
        let pid = node.id().to_string();
        made.up(&["--version", "9.9.9"]).refused(&["node-1", &pid, "moved or deleted", "`down`"]);
        assert!(place.run(["status"]).out.contains(&format!("process {pid}) runs in a folder that was moved")));
    }
    assert!(node.try_wait().unwrap().is_none(), "nobody signalled it");
    node.kill().unwrap();
    node.wait().unwrap();
    fs::remove_dir_all(old).unwrap();
}

#[test]
fn a_server_that_is_missing_or_another_is_named() {
    let place = Place::beside();
    let bao = fake_bao(&place);
    for (named, arguments, words) in [
        ("/nowhere/bao", vec!["up"], vec!["/nowhere/bao", "BAO_BIN"]),
        ("/bin/sh", vec!["up"], vec!["/bin/sh", "no OpenBao"]),
        (bao.to_str().unwrap(), vec!["up", "--version", "2.6.2"], vec!["2.7.2", "2.6.2", "BAO_BIN"]),
    ] {
        let ran = Ran::new(place.command(arguments).env("BAO_BIN", named).output().unwrap());
        ran.refused(&words);
    }
    let mut command = place.command(["up", "--version", "9.9.9"]);
    let ran = Ran::new(command.env_remove("BAO_BIN").env("PATH", "").output().unwrap());
    ran.refused(&["OpenBao 9.9.9", "tests/openbao/fetch", "BAO_BIN"]);
    assert!(!place.file("cluster.json").exists());
    fs::remove_file(bao).unwrap();
}

#[test]
fn a_folder_of_the_users_stays_as_it_is() {
    let place = Place::beside();
    fs::create_dir(place.path()).unwrap();
    fs::write(place.file("keys.json"), "mine").unwrap();
    place.run(["up"]).refused(&["nothing in it was touched", "--dir"]);
    for command in ["down", "status", "env", "logs"] {
        place.run([command]).refused(&["there is no cluster in"]);
    }
    place.run(["down", "--delete-data"]).refused(&["there is no cluster in"]);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    assert_eq!(place.text("keys.json"), "mine");
}

#[test]
fn a_cluster_json_that_is_not_understood_is_left_alone() {
    let place = Place::beside();
    fs::create_dir(place.path()).unwrap();
    for (text, word) in [("", "EOF"), ("{\"format\": 2}", "format 2"), ("[1]", "can't be understood")] {
        fs::write(place.file("cluster.json"), text).unwrap();
        for arguments in [vec!["up"], vec!["status"], vec!["down", "--delete-data"]] {
            place.run(arguments).refused(&[word, "nothing was changed"]);
        }
        assert_eq!(place.text("cluster.json"), text);
    }
}

#[test]
fn what_nobody_can_read_is_no_reason_to_stop() {
    let place = Place::beside();
    let (reader, nobody) = std::io::pipe().unwrap();
    drop(reader);
    let mut outputs = vec![Stdio::from(nobody)];
    if cfg!(target_os = "linux") {
        outputs.push(fs::File::options().write(true).open("/dev/full").unwrap().into());
    }
    for output in outputs {
        let mut command = place.command(["up", "--version", "9.9.9"]);
        let status = command.env_remove("BAO_BIN").env("PATH", "").stderr(output).status().unwrap();
        assert_eq!(status.code(), Some(1), "it failed for its own reason, not for that");
    }
}

#[test]
fn wrong_arguments_and_help_have_their_statuses() {
    let place = Place::beside();
    for wrong in [vec![], vec!["up", "--nodes", "4"], vec!["kill"], vec!["kill", "node-x"], vec!["fly"]] {
        let ran = place.run(&wrong);
        assert_eq!(ran.status, Some(2), "{wrong:?}");
        assert!(!ran.err.contains('\u{1b}'));
    }
    let help = place.run(["--help"]).ok().out;
    assert!(help.contains("exit status") && help.contains("step-down"), "{help}");
    place.run(["up", "--port-base", "65510"]).refused(&["65510"]);
    assert!(!place.file("cluster.json").exists());
}
