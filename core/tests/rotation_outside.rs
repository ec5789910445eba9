//! Recorded rotations that change something outside OpenBao as well, when a step fails, is refused, takes too
//! long, or another process goes on meanwhile. On virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "rotation/bank.rs"]
mod bank;
mod scenario;

use bank::{Bank, Database, Fate, LEASE, PASSWORD, code, is_write};
use baokit_core::Code;
use baokit_core::config::Credential;
use scenario::{SECOND, World};

#[test]
fn what_fails_outside_is_undone_and_the_secret_is_as_it_was() {
    for step in ["apply", "test"] {
        let bank = Bank::new();
        let database = Database::new(&bank);
        database.fails(&[step]);
        let client = bank.client();
        let error = bank.run(client.rotate_applied(PASSWORD, &client.rotation(), &database)).unwrap_err();
        assert_eq!(error.code(), Code::RotationFailed);
        assert!(error.to_string().contains(&format!("{step} failed: the database refuses")), "{error}");
        assert_eq!((bank.version(), bank.has_stage(), bank.phase().as_deref()), (1, false, Some("abandoned")));
        assert_eq!((database.password().as_str(), bank.password().as_str()), ("old", "old"));
        database.fails(&[]);
        let done = bank.run(client.rotate_applied(PASSWORD, &client.rotation(), &database)).unwrap();
        assert_eq!((done.new_version, database.password()), (2, bank.password()));
    }
}

#[test]
fn an_undo_that_fails_leaves_the_rotation_and_its_value_to_be_resumed() {
    let bank = Bank::new();
    let database = Database::new(&bank);
    database.fails(&["test", "undo"]);
    let client = bank.client();
    let rotation = client.rotation();
    let error = bank.run(client.rotate_applied(PASSWORD, &rotation, &database)).unwrap_err();
    assert_eq!(error.code(), Code::RotationFailed);
    assert!(error.to_string().contains("could not be brought back"), "{error}");
    assert_eq!((bank.version(), bank.has_stage(), bank.phase().as_deref()), (1, true, Some("begun")));
    let value = database.password();
    database.fails(&[]);
    let resumed = client.resume_rotation(rotation.operation_id());
    bank.run(client.rotate_applied(PASSWORD, &resumed, &database)).unwrap();
    assert_eq!(
        (bank.version(), bank.password(), database.password(), bank.has_stage()),
        (2, value.clone(), value, false)
    );
}

#[test]
fn a_write_that_is_refused_for_good_is_undone_outside_and_given_up() {
    let bank = Bank::new();
    let database = Database::new(&bank);
    let policy = r#"path "secret/data/app" { capabilities = ["read"] }
        path "secret/data/app.baokit-stage" { capabilities = ["create", "update", "read"] }
        path "secret/metadata/*" { capabilities = ["create", "update", "read", "delete"] }"#;
    let token = Credential::token(bank.token(policy));
    let client = bank.world.client(World::settings(1).credential(token));
    let error = bank.run(client.rotate_applied(PASSWORD, &client.rotation(), &database)).unwrap_err();
    assert_eq!((error.code(), database.log()), (Code::PermissionDenied, vec!["apply", "test", "undo"]));
    assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &client.rotation()))), Code::PermissionDenied);
    assert_eq!((database.password().as_str(), bank.version(), bank.has_stage()), ("old", 1, false));
    assert_eq!(bank.phase().as_deref(), Some("abandoned"), "nobody has to wait for a lease");
}

#[test]
fn without_rights_on_the_stage_nothing_outside_is_touched_and_nobody_has_to_wait() {
    let bank = Bank::new();
    let database = Database::new(&bank);
    let policy = r#"path "secret/data/app" { capabilities = ["create", "update", "read"] }
        path "secret/metadata/app" { capabilities = ["create", "update", "read"] }"#;
    let token = Credential::token(bank.token(policy));
    let client = bank.world.client(World::settings(1).credential(token));
    let result = bank.run(client.rotate_applied(PASSWORD, &client.rotation(), &database));
    assert_eq!((code(result), database.log().len()), (Code::PermissionDenied, 0));
    assert_eq!((bank.version(), bank.phase().as_deref()), (1, Some("abandoned")));
    bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
}

#[test]
fn what_takes_longer_than_the_deadline_outside_is_undone() {
    let bank = Bank::new();
    let database = Database::new(&bank);
    database.takes(31 * SECOND);
    let client = bank.client();
    let error = bank.run(client.rotate_applied(PASSWORD, &client.rotation(), &database)).unwrap_err();
    assert_eq!((error.code(), database.log()), (Code::DeadlineExceeded, vec!["apply", "test", "undo"]));
    assert_eq!((database.password().as_str(), bank.version()), ("old", 1));
}

#[test]
fn who_was_overtaken_while_it_applied_touches_nothing_more() {
    let bank = Bank::new();
    let database = Database::new(&bank);
    database.takes(LEASE + SECOND);
    let (slow, quick) = (bank.client(), bank.client());
    let rotation = slow.rotation();
    let results = bank.world.run_all([true, false].map(|is_slow| {
        let (bank, database, slow, quick, rotation) = (&bank, database.clone(), &slow, &quick, &rotation);
        async move {
            if is_slow {
                return slow.rotate_applied(PASSWORD, rotation, &database).await;
            }
            baokit_core::Host::sleep(&bank.world, LEASE).await;
            database.takes(SECOND / 1000);
            quick.rotate_applied(PASSWORD, &quick.rotation(), &database).await
        }
    }));
    assert_eq!(results[0].as_ref().unwrap_err().code(), Code::RotationInProgress);
    assert_eq!(results[1].as_ref().unwrap().operation_id, rotation.operation_id());
    assert_eq!((bank.version(), database.password()), (2, bank.password()));
    assert!(!database.log().contains(&"undo"));
}

#[test]
fn who_is_resumed_by_another_while_at_work_makes_no_second_version_and_undoes_nothing() {
    for wait in 0..40 {
        let bank = Bank::new();
        let database = Database::new(&bank);
        let (one, two) = (bank.client(), bank.client());
        let rotation = one.rotation();
        let results = bank.world.run_all([0, wait].map(|wait| {
            let (bank, database, one, two, rotation) = (&bank, &database, &one, &two, &rotation);
            async move {
                baokit_core::Host::sleep(&bank.world, SECOND / 2000 * wait).await;
                if wait == 0 {
                    return one.rotate_applied(PASSWORD, rotation, database).await;
                }
                two.rotate_applied(PASSWORD, &two.resume_rotation(rotation.operation_id()), database).await
            }
        }));
        for result in &results {
            match result {
                Ok(done) => assert_eq!((wait, done.new_version), (wait, 2)),
                Err(error) => {
                    assert!(matches!(error.code(), Code::RotationInProgress | Code::RotationUnknown), "{wait}: {error}")
                }
            }
        }
        assert!(results.iter().any(Result::is_ok), "{wait}: {results:?}");
        assert_eq!((wait, bank.version(), database.password()), (wait, 2, bank.password()));
        assert!(!database.log().contains(&"undo"), "{wait}");
    }
}

#[test]
fn what_was_applied_and_left_is_not_lost_to_a_rotator_that_does_not_know_of_it() {
    let bank = Bank::new();
    let database = Database::new(&bank);
    let first = bank.client();
    let left = first.rotation();
    bank.judge(|seen| if is_write(seen) { Fate::Late } else { Fate::Answered });
    bank.cut(30, first.rotate_applied(PASSWORD, &left, &database));
    bank.judge(|_| Fate::Answered);
    assert!(bank.has_stage() && database.password() != "old");
    bank.wait(LEASE);
    let client = bank.client();
    let error = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap_err();
    assert_eq!((error.code(), bank.version()), (Code::RotationInProgress, 1));
    assert!(error.to_string().contains(left.operation_id()), "{error}");
    // With a value of one's own that one is finished first.
    let done = bank.run(client.rotate_applied(PASSWORD, &client.rotation().value("given"), &database)).unwrap();
    assert_eq!((done.old_version, done.new_version, bank.password().as_str()), (2, 3, "given"));
    assert_eq!((database.password().as_str(), bank.has_stage()), ("given", false));
}

#[test]
fn what_was_applied_is_undone_where_the_version_that_it_lost_against_is_pruned() {
    let bank = Bank::new();
    let database = Database::new(&bank);
    bank.request("POST", "secret/metadata/app", r#"{"max_versions":1}"#);
    database.takes(2 * SECOND);
    let client = bank.client();
    let results = bank.world.run_all([true, false].map(|rotates| {
        let (bank, client, database) = (&bank, &client, &database);
        async move {
            if rotates {
                return client.rotate_applied(PASSWORD, &client.rotation(), database).await.map(drop);
            }
            baokit_core::Host::sleep(&bank.world, SECOND).await;
            for password in ["theirs", "old"] {
                bank.write(&serde_json::json!({"user": "ada", "password": password}));
            }
            Ok(())
        }
    }));
    assert!(results[0].is_err());
    assert_eq!((database.password(), bank.has_stage()), ("old".to_owned(), false));
}

#[test]
fn the_only_copy_of_what_may_be_in_use_is_kept_where_its_version_was_destroyed_or_may_be_undeleted() {
    for (request, base) in [("destroy", "destroy"), ("delete", "")] {
        let bank = Bank::new();
        let database = Database::new(&bank);
        let (first, second) = (bank.client(), bank.client());
        let rotation = first.rotation();
        bank.judge(|seen| if is_write(seen) { Fate::AnswerLost } else { Fate::Answered });
        let mut work = Box::pin(first.rotate_applied(PASSWORD, &rotation, &database));
        bank.run(std::future::poll_fn(|context| match work.as_mut().poll(context) {
            std::task::Poll::Pending if bank.version() < 2 => std::task::Poll::Pending,
            _ => std::task::Poll::Ready(()),
        }));
        drop(work);
        bank.judge(|_| Fate::Answered);
        bank.request("PUT", &format!("secret/{request}/app"), r#"{"versions":[2]}"#);
        if !base.is_empty() {
            bank.request("PUT", "secret/destroy/app", r#"{"versions":[1]}"#);
        }
        let resumed = second.resume_rotation(rotation.operation_id());
        let error = bank.run(second.rotate_applied(PASSWORD, &resumed, &database)).unwrap_err();
        assert_eq!(error.code(), Code::Indeterminate, "{error}");
        assert!(bank.has_stage() && database.password() != "old");
    }
}
