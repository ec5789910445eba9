//! The auth mounts: `sys/auth` and what is mounted there.

use super::answer::{Answer, Body, Fault, Outcome};
use super::approle::AppRole;
use super::fields::Fields;
use super::ids::Ids;
use super::mounts::{MOUNT, MountInfo, checked_mount_path};
use super::{Call, Model, Op};
use crate::json::Json;
use std::collections::BTreeMap;

/// One auth mount; the token store has none of the roles.
#[derive(Clone)]
pub(crate) struct AuthMount {
    pub(crate) info: MountInfo,
    pub(crate) approle: Option<AppRole>,
}

impl AuthMount {
    pub(crate) fn has_login(&self) -> bool {
        self.approle.is_some()
    }

    pub(crate) fn exists(&self, rest: &str, fields: &Fields) -> Result<Option<bool>, Fault> {
        self.approle.as_ref().map_or(Ok(None), |approle| approle.exists(rest, fields))
    }
}

pub(crate) fn initial(ids: &mut Ids) -> BTreeMap<String, AuthMount> {
    let mut info = MountInfo::new("token", "token based credentials", ids);
    info.accessor = ids.mount("auth_token");
    info.options = None;
    info.is_auth = true;
    BTreeMap::from([("token/".to_owned(), AuthMount { info, approle: None })])
}

impl Model {
    /// Everything under `sys/auth`; `rest` is what follows it.
    pub(crate) fn sys_auth(&mut self, call: &mut Call, rest: &str) -> Outcome {
        let name = format!("{}/", rest.trim_matches('/'));
        match call.op {
            Op::Read if rest.is_empty() => Ok(Body::data(self.auth_table()).flat().into()),
            Op::Read if rest.ends_with("/tune") => {
                let path = rest.strip_suffix("tune").unwrap_or_default();
                let mount = self.auths.get(path);
                let mount =
                    mount.ok_or_else(|| Fault::bad(format!("cannot fetch sysview for path \"auth/{path}\"")))?;
                Ok(Body::data(mount.info.tuning()).flat().into())
            }
            Op::Read => match self.auths.get(&name) {
                Some(mount) => Ok(Body::data(mount.info.describe()).flat().into()),
                None => Err(Fault::bad(format!("No auth engine at {name}"))),
            },
            Op::Update | Op::Create if !rest.is_empty() && !rest.ends_with("/tune") => self.enable_auth(call, name),
            Op::Delete if !rest.is_empty() => {
                if name == "token/" {
                    return Err(Fault::bad("token credential backend cannot be disabled"));
                }
                self.auths.remove(&name);
                let prefix = format!("auth/{name}");
                let gone: Vec<String> =
                    self.tokens.values().filter(|t| t.path.starts_with(&prefix)).map(|t| t.id.clone()).collect();
                for id in gone {
                    self.revoke_tree(&id);
                }
                Ok(Answer::Nothing)
            }
            _ => Err(Fault::unsupported_operation()),
        }
    }

    pub(crate) fn auth_table(&self) -> Json {
        Json::map(self.auths.iter().map(|(name, mount)| (name.as_str(), mount.info.describe())))
    }

    fn enable_auth(&mut self, call: &mut Call, name: String) -> Outcome {
        call.accept(&["path"], MOUNT)?;
        let kind = call.fields.text("type").unwrap_or_default();
        match kind.as_str() {
            "" => return Err(Fault::bad("backend type must be specified as a string")),
            "approle" => {}
            // Real types that the model lacks are refused in the same words as made-up ones.
            other => return Err(Fault::bad(format!("plugin not found in the catalog: {other}"))),
        }
        checked_mount_path(&name, self.auths.keys())?;
        let mut info = MountInfo::new("approle", &call.fields.text("description").unwrap_or_default(), &mut self.ids);
        info.accessor = self.ids.mount("auth_approle");
        info.is_auth = true;
        info.configure(call)?;
        self.auths.insert(name, AuthMount { info, approle: Some(AppRole::default()) });
        Ok(Answer::Nothing)
    }
}
