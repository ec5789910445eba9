//! File pointers, with real files: what is allowed is read, and nothing leads out of the folder.

#![cfg(all(feature = "service", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use baokit::service::FileStrategy;
use baokit_service::Code;
use baokit_service::providers::Strategy;
use baokit_service::settings::Settings;

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("baokit-files-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("secrets")).unwrap();
        Self(path)
    }

    fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.secrets().join(name), content).unwrap();
    }

    fn strategy(&self, names: &str) -> FileStrategy {
        strategy(&self.secrets(), names).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn strategy(folder: &Path, names: &str) -> baokit_service::Result<FileStrategy> {
    let lookup = |key: &str| match key {
        "FILE_MOUNT_PATH" => Some(folder.to_str().unwrap().to_owned()),
        "FILE_ALLOWED_NAMES" => Some(names.to_owned()),
        _ => None,
    };
    FileStrategy::new(&Settings::from_lookup(lookup)?)
}

async fn text(files: &FileStrategy, pointer: &str) -> String {
    files.read(pointer, None).await.unwrap().value.expose_str().unwrap().to_owned()
}

async fn code(files: &FileStrategy, pointer: &str) -> Code {
    files.read(pointer, None).await.unwrap_err().code()
}

#[tokio::test]
async fn an_allowed_file_is_read_without_one_line_break_at_its_end() {
    let folder = Folder::new("read");
    for (content, expected) in [
        ("hunter2", "hunter2"),
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        ("hunter2\n\n", "hunter2\n"),
        (" two\nlines \n", " two\nlines "),
        ("\r", "\r"),
        ("\n", ""),
        ("", ""),
    ] {
        folder.write("db-password", content);
        let files = folder.strategy("db-password");
        assert_eq!(text(&files, "file:primary:db-password").await, expected, "{content:?}");
        assert_eq!(text(&files, "file:db-password").await, expected);
    }
}

#[tokio::test]
async fn a_file_is_read_anew_each_time() {
    let folder = Folder::new("anew");
    let files = folder.strategy("a");
    assert_eq!(code(&files, "file:a").await, Code::Core(baokit_core::Code::SecretNotFound));
    folder.write("a", "one");
    assert_eq!(text(&files, "file:a").await, "one");
    folder.write("a", "two");
    assert_eq!(text(&files, "file:a").await, "two");
}

#[tokio::test]
async fn what_is_not_allowed_is_denied_whether_it_is_there_or_not() {
    let folder = Folder::new("denied");
    folder.write("there", "canary");
    folder.write("allowed", "value");
    let files = folder.strategy("allowed").with_store("other", folder.secrets());
    let mut texts = Vec::new();
    for pointer in ["file:there", "file:absent", "file:other:allowed", "file:nowhere:allowed", "file:Allowed"] {
        let error = files.read(pointer, None).await.unwrap_err();
        assert_eq!((error.code(), error.code().status()), (Code::PolicyDenied, 403), "{pointer}");
        texts.push(error.to_string());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(code(&folder.strategy(""), "file:allowed").await, Code::PolicyDenied);
}

#[tokio::test]
async fn no_pointer_leads_out_of_the_folder() {
    let folder = Folder::new("traversal");
    fs::write(folder.0.join("outside"), "canary").unwrap();
    let files = folder.strategy("inside");
    for pointer in [
        "file:../outside",
        "file:primary:../outside",
        "file:primary:..",
        "file:primary:/etc/passwd",
        "file:primary:%2e%2e%2foutside",
        "file:primary:a/../../outside",
        "file:primary:..\\outside",
        "file:primary:inside\0",
        "file:..:outside",
        "db:credentials:3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    ] {
        assert_eq!(code(&files, pointer).await, Code::Core(baokit_core::Code::InvalidPointer), "{pointer}");
    }
    for names in ["../outside", "primary:..", "a/b", "/etc/passwd", "a:b:c", ".hidden"] {
        let error = strategy(&folder.secrets(), names).unwrap_err();
        assert_eq!(error.code(), Code::Core(baokit_core::Code::InvalidSetting), "{names}");
        assert!(error.to_string().contains("FILE_ALLOWED_NAMES"));
    }
}

#[tokio::test]
async fn links_are_not_followed_and_only_regular_files_are_read() {
    let folder = Folder::new("links");
    fs::write(folder.0.join("outside"), "canary").unwrap();
    folder.write("inside", "value");
    symlink(folder.0.join("outside"), folder.secrets().join("link-out")).unwrap();
    symlink("inside", folder.secrets().join("link-in")).unwrap();
    symlink("absent", folder.secrets().join("link-dangling")).unwrap();
    fs::create_dir(folder.secrets().join("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.secrets().join("socket")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.secrets().join("pipe")).status().unwrap();
    assert!(made.success());
    let files = folder.strategy("link-out,link-in,link-dangling,folder,socket,pipe");
    for name in ["link-out", "link-in", "link-dangling", "folder", "socket", "pipe"] {
        assert_eq!(code(&files, &format!("file:{name}")).await, Code::PolicyDenied, "{name}");
    }
}

#[tokio::test]
async fn the_folder_itself_may_be_a_link_and_a_missing_one_is_the_providers_failure() {
    let folder = Folder::new("folder");
    folder.write("a", "value");
    symlink(folder.secrets(), folder.0.join("linked")).unwrap();
    assert_eq!(text(&strategy(&folder.0.join("linked"), "a").unwrap(), "file:a").await, "value");
    let error = strategy(&folder.0.join("absent"), "a").unwrap().read("file:a", None).await.unwrap_err();
    assert_eq!((error.code(), error.code().status()), (Code::ProviderFailed, 502));
    assert!(!error.to_string().contains("absent"), "{error}");
}

#[tokio::test]
async fn other_stores_are_named_with_their_files() {
    let folder = Folder::new("stores");
    fs::create_dir(folder.0.join("certs")).unwrap();
    fs::write(folder.0.join("certs/key"), "certificate").unwrap();
    folder.write("key", "primary");
    let files = folder.strategy("certs:key, FILE:primary:key, lost:key").with_store("certs", folder.0.join("certs"));
    assert_eq!(text(&files, "file:certs:key").await, "certificate");
    assert_eq!(text(&files, "file:key").await, "primary");
    assert_eq!(code(&files, "file:lost:key").await, Code::ProviderFailed);
}

#[tokio::test]
async fn size_text_and_version_are_checked() {
    let folder = Folder::new("limits");
    let files = folder.strategy("a");
    folder.write("a", "x".repeat(1024 * 1024));
    assert_eq!(text(&files, "file:a").await.len(), 1024 * 1024);
    folder.write("a", "x".repeat(1024 * 1024 + 1));
    assert_eq!(code(&files, "file:a").await, Code::ProviderFailed);
    folder.write("a", b"canary\xff");
    let error = files.read("file:a", None).await.unwrap_err();
    assert_eq!(error.code(), Code::ProviderFailed);
    assert!(!format!("{error} {error:?} {files:?}").contains("canary"));
    folder.write("a", "value");
    let error = files.read("file:a", Some("1")).await.unwrap_err();
    assert_eq!(error.code(), Code::Core(baokit_core::Code::VersionNotAllowed));
    let error = files.delete("file:a").await.unwrap_err();
    assert_eq!(error.code(), Code::OperationNotSupported);
}
