//! Bad input that shows before any server is started: said plainly with what to do, and nothing of the user's touched.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::fs;
use std::net::TcpListener;

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
fn fake_bao(place: &Place) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = place.path().with_extension("bao");
    fs::write(&path, "#!/bin/sh\necho 'OpenBao v2.7.2 (fake)'\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
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
