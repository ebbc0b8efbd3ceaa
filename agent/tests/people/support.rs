// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bus of our own, and a pipeline that knows one code.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use stile::bus::{BusService, BusSettings, serve_at};
use stile::ids::{ChallengeId, DeviceId, Uid};
use stile::service::{
    Answer, Caller, ChallengeView, CodeTestView, Enrollment, FactorRequest, FactorView,
    ImportedAll, ProofRequest, RealmView, Refusal, Request, StatusView,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

pub(crate) const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../packaging/dbus-1/org.stile.Agent1.conf"
);
/// A user who isn't root, and needs no entry in the user database.
pub(crate) const NOBODY: u32 = 65534;

/// A bus of our own. It ends with the test.
pub(crate) struct Bus {
    daemon: Child,
    pub(crate) address: String,
    _dir: TempDir,
}

impl Bus {
    pub(crate) fn start() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test calls the bus as two users and so needs root: run `cargo xtask test`"
        );
        let dir = tempfile::tempdir().unwrap();
        // Another user has to reach the socket.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let config = dir.path().join("system.conf");
        std::fs::write(&config, system_conf(dir.path())).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon starts; is it installed?");
        // It says where it listens once it does.
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        assert!(address.starts_with("unix:"), "no address: {address:?}");
        Self {
            daemon,
            address: address.trim().to_owned(),
            _dir: dir,
        }
    }

    /// Calls a method as another user, with a program that is no part of stile.
    pub(crate) async fn call_as(&self, uid: u32, call: &[&str]) -> Result<String, String> {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={uid}"))
            .args(["--clear-groups", "dbus-send", "--print-reply"])
            .arg(format!("--bus={}", self.address))
            .args(call);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .expect("setpriv and dbus-send start; are they installed?");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }

    pub(crate) fn end(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// What a distribution's system.conf says, as far as it matters here.
fn system_conf(dir: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={}/socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{POLICY}</include>
</busconfig>
"#,
        dir.display()
    )
}

/// The agent on this bus, and the requests that it passes on.
pub(crate) async fn agent(bus: &Bus) -> (BusService, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel(4);
    let service = serve_at(&bus.address, &settings(), sender).await.unwrap();
    (service, receiver)
}

/// Prompters are of root's group, which the tests run as.
pub(crate) fn settings() -> BusSettings {
    BusSettings {
        prompt_group: "root".to_owned(),
        pam_helper: "/nonexistent/stile-pam".into(),
        watched: Arc::default(),
    }
}

/// A pipeline that knows one code, and says the caller's uid wherever it can.
pub(crate) async fn fake_pipeline(mut requests: mpsc::Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Status(_, reply) => drop(reply.send(Ok(status()))),
            Request::Pending(caller, reply) => drop(reply.send(Ok(vec![challenge(caller)]))),
            Request::Answer(_, ChallengeId(7), code, reply) => {
                let answer = match code.as_str() {
                    "123456" => Answer::Accepted {
                        until_seconds: 900,
                        released: 1,
                    },
                    _ => Answer::Wrong { tries_left: 2 },
                };
                drop(reply.send(Ok(answer)));
            }
            Request::Answer(_, _, _, reply) => {
                drop(reply.send(Err(Refusal::NoSuchChallenge)));
            }
            Request::Explain(_, _, _, reply) => drop(reply.send(Ok(()))),
            Request::Deny(_, _, reply) => drop(reply.send(Ok(()))),
            Request::Grants(_, reply) => drop(reply.send(Ok(Vec::new()))),
            Request::Revoke(_, which, reply) => {
                drop(reply.send(Ok(if which.is_none() { 5 } else { 1 })));
            }
            Request::Realms(_, reply) => drop(reply.send(Ok(vec![realm()]))),
            Request::Elevate(_, wanted, code, reply) => {
                let answer = match (wanted.realm.as_str(), code.as_str()) {
                    ("prod", "123456") => Ok(Answer::Accepted {
                        until_seconds: 900,
                        released: 0,
                    }),
                    ("prod", _) => Ok(Answer::Wrong { tries_left: 1 }),
                    _ => Err(Refusal::NoSuchRealm),
                };
                drop(reply.send(answer));
            }
            Request::RevokeOf(_, uid, _, reply) => drop(reply.send(Ok(uid.0))),
            Request::Reload(_, reply) => {
                drop(reply.send(Err(Refusal::BadPolicy("a.toml:1:1 odd".into()))));
            }
            Request::EnrollBegin(caller, uid, reply) => {
                drop(reply.send(enrollment(caller, uid)));
            }
            Request::EnrollConfirm(_, _, _, reply) => {
                drop(reply.send(Ok(Answer::Throttled { retry_seconds: 30 })));
            }
            Request::Recent(_, reply) => drop(reply.send(Ok(Vec::new()))),
            Request::Elevations(_, reply) => drop(reply.send(Ok(Vec::new()))),
            Request::Factors(caller, request) => factors(caller, request),
            Request::Proofs(_, request) => proofs(request),
        }
    }
}

fn factors(caller: Caller, request: FactorRequest) {
    match request {
        FactorRequest::List(uid, reply) => drop(reply.send(Ok(vec![factor(uid)]))),
        FactorRequest::Add(uid, wish, reply) => {
            let right = wish.code.is_some_and(|code| code.as_str() == "123456");
            let added = match right || caller.is_admin() {
                true => enrollment(caller, uid),
                false => Err(Refusal::NeedsCode),
            };
            drop(reply.send(added));
        }
        FactorRequest::Import(_, import, reply) => {
            let length = import.secret.as_bytes().len() as u64;
            drop(reply.send(Ok(DeviceId(length))));
        }
        FactorRequest::ImportAll(imports, only_tried, reply) => {
            let ids = imports.iter().map(|(uid, _)| DeviceId(uid.0.into()));
            let ids = ids.filter(|_| !only_tried).collect();
            drop(reply.send(Ok(ImportedAll::Done(ids))));
        }
        FactorRequest::Rename(_, _, name, reply) => {
            drop(reply.send(Err(Refusal::BadFactor(name))));
        }
        FactorRequest::Remove(_, _, code, reply) => {
            let answer = match code.as_deref().map(String::as_str) {
                Some("123456") => Ok(()),
                Some(_) => Err(Refusal::WrongCode { tries_left: 1 }),
                None => Err(Refusal::NeedsCode),
            };
            drop(reply.send(answer));
        }
        FactorRequest::Test(_, reply) => {
            let (name, id) = ("phone".to_owned(), 3);
            drop(reply.send(Ok(CodeTestView {
                id,
                name,
                seconds_ahead: -30,
                accepted: true,
            })));
        }
        FactorRequest::Recovery(_, _, _, reply) => drop(reply.send(Ok(()))),
        FactorRequest::Unlock(_, reply) => drop(reply.send(Ok(caller.is_admin()))),
        FactorRequest::Export(reply) => {
            drop(reply.send(Err(Refusal::BadFactor("damaged".to_owned()))));
        }
        FactorRequest::RotateKeys(reply) => drop(reply.send(Ok(4))),
    }
}

/// Nobody here can be asked by PAM.
fn proofs(request: ProofRequest) {
    match request {
        ProofRequest::Admit(_, factor, reply) => {
            drop(reply.send(Err(Refusal::NoSuchFactor(factor.to_string()))));
        }
        ProofRequest::Passed(_, _, reply)
        | ProofRequest::Failed(_, _, reply)
        | ProofRequest::Unanswered(_, _, _, reply) => {
            drop(reply.send(Err(Refusal::NoSuchChallenge)));
        }
        ProofRequest::Emergencies(reply) => drop(reply.send(Ok(Vec::new()))),
        ProofRequest::BreakGlass(_, _, reply) => {
            drop(reply.send(Err(Refusal::NoEmergency)));
        }
    }
}

pub(crate) fn factor(uid: Uid) -> FactorView {
    FactorView {
        uid,
        factor: "totp".into(),
        id: 3,
        name: "phone".into(),
        parameters: "sha1, 6 digits, 30 s".into(),
        assurance: 1,
        enrolled: 1_767_582_058,
        left: 0,
        failures: 1,
        retry_seconds: 0,
        locked: false,
    }
}

pub(crate) fn status() -> StatusView {
    StatusView {
        version: "0.1.0".into(),
        state: "enforcing".into(),
        cgroup: "/sys/fs/cgroup".into(),
        policy: "0123456789abcdef".into(),
        policy_loaded: "2026-01-05T03:00:00Z".into(),
        endpoints: 1,
        rules: 1,
        pending: 0,
        grants: 0,
        enrolled: false,
        problems: vec!["a disk is full".into()],
        faults: vec![("ring-full".into(), 3)],
    }
}

pub(crate) fn realm() -> RealmView {
    RealmView {
        realm: "prod".into(),
        endpoints: vec!["prod-db".into()],
        scopes: vec!["user".into()],
        ttl_seconds: 900,
        seconds_left: 0,
        factors: vec!["totp".into()],
        reason: String::new(),
        reason_name: String::new(),
        reason_pattern: String::new(),
    }
}

pub(crate) fn challenge(caller: Caller) -> ChallengeView {
    ChallengeView {
        id: ChallengeId(7),
        uid: caller.uid,
        endpoint: "prod-db".into(),
        destination: "10.0.0.1:5432".into(),
        rule: "dba".into(),
        realm: "prod".into(),
        program: "/usr/bin/psql".into(),
        pid: 4,
        parent: "bash".into(),
        terminal: "pts/3".into(),
        from: String::new(),
        session: String::new(),
        reasons: Vec::new(),
        warnings: Vec::new(),
        waiting: 1,
        scope: "user".into(),
        ttl_seconds: 900,
        also: Vec::new(),
        deadline: 1_767_582_060,
        seconds_left: 60,
        factors: vec!["totp".into()],
        reason: String::new(),
        reason_name: String::new(),
        reason_pattern: String::new(),
    }
}

fn enrollment(caller: Caller, uid: Uid) -> Result<Enrollment, Refusal> {
    if uid == Uid(4) {
        return Err(Refusal::AlreadyEnrolled(uid));
    }
    Ok(Enrollment {
        url: Zeroizing::new(format!("otpauth://totp/{}", caller.uid)),
        secret: Zeroizing::new("GEZDGNBV".into()),
        confirm_seconds: 300,
    })
}
