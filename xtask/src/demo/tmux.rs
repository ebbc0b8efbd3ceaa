// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The demo for a person: two panes, alice's psql and alice's `stile approve`. The status
//! line stands for her phone.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::stage::{DATABASE, PORT, Stage, TTL};
use crate::sandbox::ALICE;
use crate::{say, workspace};

/// What alice sees on the left. `@NAME@` is filled in.
const LEFT: &str = r#"#!/bin/sh
while :; do
    clear
    echo 'You are alice. A plain psql connects to prod-db, and waits in'
    echo 'its connect() until you have answered on the right.'
    echo
    echo '$ psql -h @HOST@ -p @PORT@ postgres'
    @PSQL@ -P pager=off <<'SQL'
select * from accounts;
\echo 'The same connection, every 4 s until the grant ends (@TTL@ s):'
select pg_backend_pid() as backend, now()::time(0) as at, count(*) as accounts from accounts \watch 4
SQL
    echo
    echo 'The grant has ended, and with it the connection.'
    echo 'Enter connects again, q ends the demo.'
    read -r answer || answer=q
    [ "$answer" != q ] || exit 0
done
"#;

/// What alice sees on the right.
const RIGHT: &str = r#"#!/bin/sh
clear
cat @QR@
echo 'A real phone may scan this. Without one, use the code at the'
echo 'bottom. Each code counts once: for a second answer wait until'
echo 'it changes.'
while :; do
    until @STILE@ pending --json 2>/dev/null | grep -q '"id"'; do sleep 0.5; done
    echo
    echo '$ stile approve'
    @STILE@ approve || sleep 1
done
"#;

/// Lets a person play. Returns when they leave.
pub(super) fn play(stage: &Stage) -> Result<()> {
    let (phone, url) = stage.stile.enroll()?;
    let secret = stage.phone_file();
    std::fs::write(&secret, phone.file(&url))?;
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600))?;
    let qr = stage.write("qr.txt", &super::phone::qr(&url)?)?;
    // Alice has to read her QR code, and nobody else does.
    std::os::unix::fs::chown(&qr, Some(ALICE.id), Some(ALICE.id))?;
    std::fs::set_permissions(&qr, PermissionsExt::from_mode(0o400))?;
    say::done("alice is enrolled");

    let left = script(stage, "left.sh", LEFT, &qr)?;
    let right = script(stage, "right.sh", RIGHT, &qr)?;
    let mut tmux = tmux(stage);
    tmux.args(["new-session", "-d", "-s", "stile"]).arg(&left);
    workspace::run(&mut tmux)?;
    for arguments in settings(stage, &right) {
        workspace::run(self::tmux(stage).args(arguments))?;
    }
    workspace::run(self::tmux(stage).args(["attach-session", "-t", "stile"]))
}

/// A tmux of its own, whatever session this runs in.
fn tmux(stage: &Stage) -> Command {
    let mut tmux = Command::new("tmux");
    tmux.args(["-u", "-f", "/dev/null", "-S"])
        .arg(stage.folder.join("tmux"))
        .env_remove("TMUX");
    tmux
}

/// The right pane, the phone in the status line, and an end when the left pane ends.
fn settings(stage: &Stage, right: &Path) -> Vec<Vec<String>> {
    let phone = format!(
        " alice's phone: #({} demo-part code {}) ",
        stage.xtask.display(),
        stage.phone_file().display()
    );
    let right = right.display().to_string();
    let lines: [&[&str]; 8] = [
        &["split-window", "-h", "-t", "stile", &right],
        &["set-option", "-g", "status-interval", "1"],
        &[
            "set-option",
            "-g",
            "status-left",
            " stile demo | ctrl-b d: leave ",
        ],
        &["set-option", "-g", "status-left-length", "40"],
        &["set-option", "-g", "status-right", &phone],
        &["set-option", "-g", "status-right-length", "60"],
        &["set-hook", "-g", "pane-exited", "kill-session -t stile"],
        &["set-hook", "-g", "client-detached", "kill-session -t stile"],
    ];
    lines
        .iter()
        .map(|line| line.iter().map(|&word| word.to_owned()).collect())
        .collect()
}

/// Writes a script that runs as alice, and returns what starts it.
fn script(stage: &Stage, name: &str, text: &str, qr: &Path) -> Result<std::path::PathBuf> {
    let psql = stage.postgres.join("psql");
    let text = text
        .replace("@HOST@", DATABASE)
        .replace("@PORT@", &PORT.to_string())
        .replace("@TTL@", &TTL.as_secs().to_string())
        .replace("@QR@", &qr.display().to_string())
        .replace("@STILE@", &stage.stile.path().display().to_string())
        .replace(
            "@PSQL@",
            &format!("{} -X -h {DATABASE} -p {PORT} postgres", psql.display()),
        );
    let inner = stage.write(&format!("alice-{name}"), &text)?;
    let home = stage.folder.join("home").join(ALICE.name);
    let outer = format!(
        "#!/bin/sh\n# As sshd does for who logs in.\n\
         tty=$(tty) && chown {id}:tty \"$tty\" && chmod 620 \"$tty\"\n\
         cd {home} && exec env -i HOME={home} USER=alice TERM=\"$TERM\" \
         LANG=C.UTF-8 PATH=/usr/bin:/bin PGSSLMODE=disable PGGSSENCMODE=disable \
         DBUS_SYSTEM_BUS_ADDRESS={bus} \
         setpriv --reuid={id} --regid={id} --init-groups /bin/sh {inner}\n",
        home = home.display(),
        bus = stage.stile.bus(),
        id = ALICE.id,
        inner = inner.display(),
    );
    let outer = stage.write(name, &outer)?;
    std::fs::set_permissions(&outer, PermissionsExt::from_mode(0o755))
        .with_context(|| format!("could not make {} a program", outer.display()))?;
    Ok(outer)
}
