//! Recorded rotations beside other writers, other rotators, late requests and without rights. On virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "rotation/bank.rs"]
mod bank;
mod scenario;

use bank::{Bank, Database, Fate, LEASE, PASSWORD, code, is_write};
use baokit_core::Code;
use baokit_core::config::Credential;
use scenario::{SECOND, World};
use serde_json::json;

#[test]
fn a_writer_who_comes_in_between_is_a_conflict_and_the_rotation_is_given_up() {
    for is_applied in [false, true] {
        let bank = Bank::new();
        let database = Database::new(&bank);
        let client = bank.client();
        let other = bank.clone();
        bank.judge(move |seen| {
            if is_write(seen) && other.version() == 1 {
                // Outside the model's own call.
                other.write(&json!({"user": "ada", "password": "old", "more": 1}));
            }
            Fate::Answered
        });
        let rotation = client.rotation();
        let result = if is_applied {
            bank.run(client.rotate_applied(PASSWORD, &rotation, &database))
        } else {
            bank.run(client.rotate_with(PASSWORD, &rotation))
        };
        assert_eq!(code(result), Code::CasConflict);
        assert_eq!((bank.version(), bank.phase().as_deref(), bank.has_stage()), (2, Some("abandoned"), false));
        assert_eq!(database.password(), "old");
        let resumed = client.resume_rotation(rotation.operation_id());
        assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &resumed))), Code::CasConflict);
    }
}

#[test]
fn another_writer_s_version_is_not_taken_for_that_of_a_rotation_that_was_cut_off() {
    for is_applied in [false, true] {
        for after in 1..100 {
            let bank = Bank::new();
            let database = Database::new(&bank);
            let first = bank.client();
            let rotation = first.rotation();
            let cut = if is_applied {
                bank.cut(after, first.rotate_applied(PASSWORD, &rotation, &database))
            } else {
                bank.cut(after, first.rotate_with(PASSWORD, &rotation))
            };
            if bank.version() == 2 {
                assert!(after > 3);
                break;
            }
            assert!(cut.is_none());
            let has_begun = bank.phase().is_some();
            bank.write(&json!({"user": "ada", "password": "old", "more": 1}));
            let client = bank.client();
            let resumed = client.resume_rotation(rotation.operation_id());
            let result = if is_applied {
                bank.run(client.rotate_applied(PASSWORD, &resumed, &database))
            } else {
                bank.run(client.rotate_with(PASSWORD, &resumed))
            };
            let expected = if has_begun { Code::CasConflict } else { Code::RotationUnknown };
            assert_eq!((after, code(result), bank.version()), (after, expected, 2));
            assert_eq!((after, database.password(), bank.has_stage()), (after, "old".to_owned(), false));
        }
    }
}

#[test]
fn without_rights_on_metadata_it_works_unrecorded_and_says_so() {
    let policies = [
        r#"path "secret/data/*" { capabilities = ["create", "update", "read"] }"#,
        r#"path "secret/data/*" { capabilities = ["create", "update", "read"] }
           path "secret/metadata/*" { capabilities = ["read"] }"#,
    ];
    for policy in policies {
        let bank = Bank::new();
        let database = Database::new(&bank);
        let token = Credential::token(bank.token(policy));
        let client = bank.world.client(World::settings(1).credential(token));
        assert_eq!(
            code(bank.run(client.rotate_applied(PASSWORD, &client.rotation(), &database))),
            Code::PermissionDenied
        );
        assert!(database.log().is_empty(), "nothing outside is touched");
        assert_eq!((bank.version(), bank.has_stage()), (1, false));
        let done = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
        assert_eq!((done.new_version, done.is_recorded, bank.phase()), (2, false, None));
    }
}

#[test]
fn a_write_of_a_process_that_is_gone_and_comes_late_is_known_as_the_rotation_s_own() {
    for given in [None, Some("given")] {
        let bank = Bank::new();
        let first = bank.client();
        let mut rotation = first.rotation();
        bank.judge(|seen| if is_write(seen) { Fate::Late } else { Fate::Answered });
        let mut resumed = first.resume_rotation(rotation.operation_id());
        if let Some(given) = given {
            (rotation, resumed) = (rotation.value(given), resumed.value(given));
        }
        assert!(bank.cut(8, first.rotate_with(PASSWORD, &rotation)).is_none());
        assert_eq!((bank.version(), bank.phase().as_deref()), (1, Some("begun")));
        let other = bank.clone();
        bank.judge(move |seen| {
            if is_write(seen) {
                other.carry_out_late();
            }
            Fate::Answered
        });
        let second = bank.client();
        let done = bank.run(second.rotate_with(PASSWORD, &resumed)).unwrap();
        assert_eq!((done.new_version, bank.version(), bank.phase().as_deref()), (2, 2, Some("finished")));
    }
}

#[test]
fn a_value_that_was_given_to_another_process_is_known_by_the_keys_that_stayed() {
    for (version_two, expected) in [
        (json!({"user": "ada", "password": "given"}), None),
        (json!({"user": "eve", "password": "other"}), Some(Code::CasConflict)),
    ] {
        let bank = Bank::new();
        let client = bank.client();
        let rotation = client.rotation().value("given");
        bank.judge(|seen| if is_write(seen) { Fate::Late } else { Fate::Answered });
        bank.cut(8, client.rotate_with(PASSWORD, &rotation));
        assert_eq!(bank.phase().as_deref(), Some("begun"));
        bank.judge(|_| Fate::Answered);
        bank.write(&version_two);
        let resumed = client.resume_rotation(rotation.operation_id());
        let result = bank.run(client.rotate_with(PASSWORD, &resumed));
        assert_eq!((result.err().map(|error| error.code()), bank.version()), (expected, 2));
    }
}

#[test]
fn a_lease_ends_by_the_wall_clock() {
    let bank = Bank::new();
    let first = bank.client();
    bank.judge(|seen| if is_write(seen) { Fate::Late } else { Fate::Answered });
    bank.cut(8, first.rotate_with(PASSWORD, &first.rotation()));
    bank.judge(|_| Fate::Answered);
    assert_eq!(bank.phase().as_deref(), Some("begun"));
    let client = bank.client();
    let error = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap_err();
    assert!(error.to_string().contains("with a lease of "), "{error}");
    bank.wait(59 * SECOND - bank.world.elapsed());
    assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &client.rotation()))), Code::RotationInProgress);
    bank.wait(2 * SECOND);
    bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
}

#[test]
fn a_rotation_of_another_key_is_not_finished_in_the_name_of_one_that_was_left() {
    let bank = Bank::new();
    let first = bank.client();
    let left = first.rotation();
    bank.judge(|seen| if is_write(seen) { Fate::Late } else { Fate::Answered });
    bank.cut(8, first.rotate_with(PASSWORD, &left));
    bank.judge(|_| Fate::Answered);
    let client = bank.client();
    let user = "openbao+kv2://secret/app#user";
    let resumed = client.resume_rotation(left.operation_id());
    assert_eq!(code(bank.run(client.rotate_with(user, &resumed))), Code::RotationUnknown);
    bank.wait(LEASE);
    let rotation = client.rotation();
    let done = bank.run(client.rotate_with(user, &rotation)).unwrap();
    assert_eq!((done.operation_id.as_str(), bank.password().as_str()), (rotation.operation_id(), "old"));
    assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &resumed))), Code::RotationUnknown);
}

#[test]
fn a_standby_that_is_behind_leads_to_no_false_conflict_and_no_false_success() {
    let bank = Bank::new();
    bank.freeze();
    bank.write(&json!({"user": "ada", "password": "newer"}));
    bank.judge(|seen| {
        let is_plain = seen.method == baokit_core::http::Method::Get && seen.header("x-vault-wrap-ttl").is_none();
        if is_plain { Fate::Behind } else { Fate::Answered }
    });
    let client = bank.client();
    let done = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
    assert_eq!((done.old_version, done.new_version, bank.version()), (2, 3, 3));
    assert_ne!(bank.password(), "newer");
}

#[test]
fn a_secret_that_is_made_anew_meanwhile_is_a_conflict() {
    let bank = Bank::new();
    bank.write(&json!({"password": "second"}));
    let first = bank.client();
    let rotation = first.rotation();
    bank.judge(|seen| if is_write(seen) { Fate::Late } else { Fate::Answered });
    bank.cut(8, first.rotate_with(PASSWORD, &rotation));
    bank.judge(|_| Fate::Answered);
    let custom = json!({"custom_metadata": bank.custom()}).to_string();
    bank.request("DELETE", "secret/metadata/app", "");
    bank.write(&json!({"password": "anew"}));
    bank.request("POST", "secret/metadata/app", &custom);
    let client = bank.client();
    let resumed = client.resume_rotation(rotation.operation_id());
    assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &resumed))), Code::CasConflict);
    assert_eq!((bank.version(), bank.password().as_str(), bank.phase().as_deref()), (1, "anew", Some("abandoned")));
}

#[test]
fn a_version_that_was_destroyed_before_it_could_be_known_is_no_obstacle_for_ever() {
    let bank = Bank::new();
    let first = bank.client();
    let rotation = first.rotation();
    bank.judge(|seen| if bank::is_end(seen) { Fate::Late } else { Fate::Answered });
    bank.cut(9, first.rotate_with(PASSWORD, &rotation));
    bank.judge(|_| Fate::Answered);
    assert_eq!((bank.version(), bank.phase().as_deref()), (2, Some("begun")));
    bank.request("PUT", "secret/destroy/app", r#"{"versions":[2]}"#);
    let client = bank.client();
    let resumed = client.resume_rotation(rotation.operation_id());
    for _ in 0..2 {
        let result = bank.run(client.rotate_with(PASSWORD, &resumed));
        assert_eq!(code(result), Code::Indeterminate, "it is no conflict when it is asked for again either");
    }
    bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
}

/// Lets a rotation hang at its first request of this kind, for 5 s. In the meantime others resume it, and begin and
/// finish the next one. What the first one is told, and the version at the end.
fn overtaken(hangs: fn(&bank::Seen) -> bool) -> (Code, u64) {
    let bank = Bank::new();
    let (slow, quick) = (bank.client(), bank.client());
    let rotation = slow.rotation();
    let mut is_first = true;
    bank.judge(move |seen| if hangs(seen) && std::mem::take(&mut is_first) { Fate::Late } else { Fate::Answered });
    let results = bank.world.run_all([true, false].map(|is_slow| {
        let (bank, slow, quick, rotation) = (&bank, &slow, &quick, &rotation);
        async move {
            if is_slow {
                return slow.rotate_with(PASSWORD, rotation).await;
            }
            baokit_core::Host::sleep(&bank.world, SECOND).await;
            if bank.phase().is_none() {
                bank.carry_out_late();
            }
            let resumed = quick.rotate_with(PASSWORD, &quick.resume_rotation(rotation.operation_id())).await?;
            assert_eq!((resumed.operation_id.as_str(), resumed.new_version), (rotation.operation_id(), 2));
            quick.rotate_with(PASSWORD, &quick.rotation()).await
        }
    }));
    let [slow, quick]: [_; 2] = results.try_into().unwrap();
    assert_eq!(quick.unwrap().new_version, 3);
    (code(slow), bank.version())
}

#[test]
fn a_rotation_whose_intent_was_taken_up_and_finished_by_another_does_not_begin_again() {
    assert_eq!(overtaken(bank::is_intent), (Code::RotationInProgress, 3));
}

#[test]
fn the_version_that_another_made_for_a_rotation_is_no_conflict_although_the_next_one_has_begun() {
    assert_eq!(overtaken(is_write), (Code::RotationInProgress, 3));
}

#[test]
fn a_value_that_was_given_is_not_replaced_by_one_that_another_generates_in_its_name() {
    for is_applied in [false, true] {
        for after in 1..100 {
            let bank = Bank::new();
            let database = Database::new(&bank);
            let (first, second) = (bank.client(), bank.client());
            let rotation = first.rotation().value("given");
            let is_over = if is_applied {
                bank.cut(after, first.rotate_applied(PASSWORD, &rotation, &database)).is_some()
            } else {
                bank.cut(after, first.rotate_with(PASSWORD, &rotation)).is_some()
            };
            bank.wait(LEASE);
            let done = if is_applied {
                bank.run(second.rotate_applied(PASSWORD, &second.rotation(), &database)).unwrap()
            } else {
                bank.run(second.rotate_with(PASSWORD, &second.rotation())).unwrap()
            };
            let is_given = bank.password() == "given";
            assert_eq!((after, done.operation_id == rotation.operation_id()), (after, is_given));
            assert_eq!((after, bank.version()), (after, done.new_version));
            if is_applied {
                assert_eq!((after, database.password(), bank.has_stage()), (after, bank.password(), false));
            }
            if is_over {
                break;
            }
            assert!(after < 99);
        }
    }
}

#[test]
fn a_value_of_one_s_own_is_not_brought_in_for_a_rotation_that_another_left() {
    for after in 1..100 {
        let bank = Bank::new();
        let database = Database::new(&bank);
        let (first, second) = (bank.client(), bank.client());
        let is_over = bank.cut(after, first.rotate_applied(PASSWORD, &first.rotation(), &database)).is_some();
        bank.wait(LEASE);
        let rotation = second.rotation().value("given");
        let done = bank.run(second.rotate_applied(PASSWORD, &rotation, &database)).unwrap();
        assert_eq!((done.operation_id.as_str(), database.password().as_str()), (rotation.operation_id(), "given"));
        let second_version = bank.request("GET", "secret/data/app?version=2", "");
        let is_own = second_version["data"]["data"]["password"] == "given";
        assert_eq!((after, done.new_version, bank.version()), (after, 3 - u64::from(is_own), done.new_version));
        if is_over {
            return;
        }
    }
    panic!("it does not end");
}

#[test]
fn a_standby_that_still_shows_what_was_there_before_a_snapshot_leads_to_no_conflict() {
    let bank = Bank::new();
    bank.write(&json!({"user": "ada", "password": "second"}));
    bank.freeze();
    bank.request("DELETE", "secret/metadata/app", "");
    bank.write(&json!({"user": "ada", "password": "first again"}));
    bank.judge(|seen| {
        let is_plain = seen.method == baokit_core::http::Method::Get && seen.header("x-vault-wrap-ttl").is_none();
        if is_plain { Fate::Behind } else { Fate::Answered }
    });
    let client = bank.client();
    let done = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
    assert_eq!((done.old_version, done.new_version, bank.version()), (1, 2, 2));
}
