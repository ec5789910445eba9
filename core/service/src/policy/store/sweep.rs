//! Deleting what has ended from OpenBao, a little with each write, so that no process needs a task for it and none
//! has to do it all.
//!
//! Documents lie in folders by windows of time. Where a window is three older than this one, nobody reads or writes
//! it any more. A write adds one document and deletes two at most, so old windows get smaller.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baokit_core::{Client, Host, Result, within};

/// A window that is so much older than this one is over for every clock.
const OLD: u64 = 3;
/// How many documents one write deletes, and how many names it fetches when it has none.
const DELETED: usize = 2;
const PAGE: usize = 64;
/// How many windows are looked at, of which the oldest come first.
const WINDOWS: usize = 16;
/// How long it may hold up the request that it is done for.
const LIMIT: Duration = Duration::from_secs(1);

/// What is to be deleted, by folder.
#[derive(Default)]
pub(super) struct Sweeper(Mutex<BTreeMap<&'static str, Plan>>);

#[derive(Default)]
struct Plan {
    /// Paths that are to be deleted.
    paths: Vec<String>,
    /// The window in which nothing old was left, or OpenBao refused: there is nothing to do before the next one.
    done: Option<u64>,
    /// Whether the last page began in the middle of a folder; then the next one begins at its start.
    began_inside: bool,
}

enum Job {
    Delete(Vec<String>),
    Look { inside: bool },
}

impl Sweeper {
    /// Does one piece of work in a folder, in which this is the window of now.
    pub async fn sweep<H: Host>(&self, client: &Client<H>, mount: &str, prefix: &str, folder: &'static str, now: u64) {
        let work = async {
            match self.job(folder, now) {
                None => Ok(()),
                Some(Job::Delete(paths)) => delete(client, mount, &paths).await,
                Some(Job::Look { inside }) => {
                    let found = look(client, mount, &format!("{prefix}/{folder}/"), now, inside).await?;
                    let is_over = found.is_empty() && !inside;
                    self.plan(folder, |plan| {
                        plan.paths.extend(found);
                        plan.done = is_over.then_some(now);
                    });
                    Ok(())
                }
            }
        };
        // Who may not list or delete leaves it to others.
        if let Some(Err(_)) = within(client.host(), LIMIT, work).await {
            self.plan(folder, |plan| plan.done = Some(now));
        }
    }

    fn job(&self, folder: &'static str, now: u64) -> Option<Job> {
        self.plan(folder, |plan| {
            if plan.paths.is_empty() {
                if plan.done.is_some_and(|done| done >= now) {
                    return None;
                }
                plan.began_inside = !plan.began_inside;
                return Some(Job::Look { inside: plan.began_inside });
            }
            let keep = plan.paths.len().saturating_sub(DELETED);
            Some(Job::Delete(plan.paths.split_off(keep)))
        })
    }

    fn plan<T>(&self, folder: &'static str, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(self.lock().entry(folder).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Plan>> {
        // Whatever a panic left is a list of paths that may be deleted.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn delete<H: Host>(client: &Client<H>, mount: &str, paths: &[String]) -> Result<()> {
    for path in paths {
        client.kv2_delete_key(mount, path).await?;
    }
    Ok(())
}

/// A page of the oldest window that is over, from its start or from some place inside: processes that begin at
/// different places do not all delete the same.
async fn look<H: Host>(client: &Client<H>, mount: &str, root: &str, now: u64, inside: bool) -> Result<Vec<String>> {
    let windows = client.kv2_list(mount, root)?.limit(WINDOWS).next(client).await?.unwrap_or_default();
    let old = windows.iter().filter_map(|name| name.strip_suffix('/')?.parse::<u64>().ok());
    let Some(window) = old.filter(|window| window.saturating_add(OLD) <= now).min() else { return Ok(Vec::new()) };
    let folder = format!("{root}{window}/");
    let mut pages = client.kv2_list(mount, &folder)?.limit(PAGE);
    if inside {
        let mut byte = [0];
        client.host().random(&mut byte);
        pages = pages.after(super::super::key::hex(&byte));
    }
    let names = pages.next(client).await?.unwrap_or_default();
    let is_ours = |name: &String| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(names.into_iter().filter(is_ours).map(|name| format!("{folder}{name}")).collect())
}
