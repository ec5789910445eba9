//! The configuration files of OpenBao and HAProxy, as text.

use std::fmt::Write;
use std::path::Path;

use crate::folder::Folder;
use crate::state::{NodePorts, State};

/// A text in double quotes. [`Folder`] takes no path that would need more than that, in HCL or in HAProxy's language.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// A node's `node.hcl`, as in OpenBao's guide for production with Raft and TLS.
pub(crate) fn node(folder: &Folder, state: &State, node: &NodePorts) -> String {
    let files = folder.node(node.id);
    let mut joins = String::new();
    for other in state.nodes.iter().filter(|other| other.id != node.id) {
        let _ = write!(
            joins,
            "\n  retry_join {{\n    leader_api_addr     = \"{}\"\n    leader_ca_cert_file = {}\n  }}\n",
            other.url(),
            quoted(&folder.ca()),
        );
    }
    format!(
        r#"# Written by ha-cluster up; changes are overwritten.

ui           = false
api_addr     = "{url}"
cluster_addr = "https://127.0.0.1:{cluster_port}"

storage "raft" {{
  path    = {data}
  node_id = "{id}"
  # What OpenBao recommends for production: elections take a second or two, not ten.
  performance_multiplier = 1
  # How often the leader looks whether a new node may vote: every 10 s would make `up` take twice as long.
  autopilot_reconcile_interval = "2s"
{joins}}}

listener "tcp" {{
  address         = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file   = {certificate}
  tls_key_file    = {key}
}}
"#,
        url = node.url(),
        port = node.port,
        cluster_port = node.cluster_port,
        id = node.id,
        data = quoted(&files.data()),
        certificate = quoted(&files.certificate()),
        key = quoted(&files.key()),
    )
}

/// `haproxy.cfg`. TLS ends at the nodes, so HAProxy passes connections on and sees nothing. Every unsealed node serves:
/// a standby forwards what only the leader can do.
pub(crate) fn balancer(folder: &Folder, state: &State) -> String {
    let mut servers = String::new();
    for node in &state.nodes {
        let _ = writeln!(servers, "  server {} 127.0.0.1:{}", node.id, node.port);
    }
    format!(
        "# Written by ha-cluster up; changes are overwritten.\n\
\n\
defaults
  mode tcp
  timeout connect 2s
  # Longer than any operation may take.
  timeout client 90s
  timeout server 90s
  timeout check 1s
  # A node that dies between two checks is left for another one.
  option redispatch 1
  retries 3

frontend openbao
  bind 127.0.0.1:{port}
  default_backend nodes

backend nodes
  balance roundrobin
  option httpchk GET /v1/sys/health?standbyok=true
  http-check expect status 200
  default-server check check-ssl ca-file {ca} verify required check-sni localhost verifyhost localhost \
inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}",
        port = state.balancer_port,
        ca = quoted(&folder.ca()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Ports;

    fn with_cluster(check: impl FnOnce(&Folder, &State)) {
        let path = std::env::temp_dir().join(format!("ha-cluster config {:?}", std::thread::current().id()));
        let folder = Folder::make(&path).unwrap();
        check(&folder, &State::new("test".into(), "2.7.2".into(), "/opt/bao".into(), Ports::at(8200, 3).unwrap()));
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_node_joins_the_others_over_tls() {
        with_cluster(|folder, state| {
            let text = node(folder, state, &state.nodes[1]);
            assert_eq!(text.matches("retry_join").count(), 2);
            assert_eq!(text.matches(&format!("leader_ca_cert_file = \"{}\"", folder.ca().display())).count(), 2);
            for line in [
                r#"api_addr     = "https://127.0.0.1:8220""#,
                r#"cluster_addr = "https://127.0.0.1:8221""#,
                r#"node_id = "node-2""#,
                r#"leader_api_addr     = "https://127.0.0.1:8230""#,
                r#"address         = "127.0.0.1:8220""#,
            ] {
                assert!(text.contains(line), "{line} is missing in {text}");
            }
        });
    }

    #[test]
    fn the_balancer_asks_every_node_for_its_health_and_trusts_our_authority_alone() {
        with_cluster(|folder, state| {
            let text = balancer(folder, state);
            for line in [
                "bind 127.0.0.1:8200".to_owned(),
                "server node-3 127.0.0.1:8230".to_owned(),
                "option httpchk GET /v1/sys/health?standbyok=true".to_owned(),
                format!("check-ssl ca-file \"{}\" verify required", folder.ca().display()),
            ] {
                assert!(text.contains(&line), "{line} is missing in {text}");
            }
        });
    }
}
