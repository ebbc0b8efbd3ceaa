// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands that only show: `status`, `pending`, `grants`, `elevations`.

use std::fmt::Write;

use super::args::Format;
use super::failure::{Exit, Failure};
use super::output::{columns, print, print_json};
use super::table::{Cut, Table};
use super::text::{BAD, GOOD, HEAD, duration, escape, styled};
use crate::bus::AgentClient;
use crate::ids::Uid;
use crate::service::{ChallengeView, ElevationView, GrantView, PrompterView, StatusView};

/// `stile status`.
pub(super) async fn status(format: Format) -> Result<Exit, Failure> {
    let status = AgentClient::connect().await?.status().await?;
    if format.json {
        print_json(&status)?;
    } else {
        print(&status_text(&status))?;
    }
    Ok(if is_well(&status) {
        Exit::Ok
    } else {
        Exit::Refused
    })
}

/// `stile pending`.
pub(super) async fn pending(format: Format) -> Result<Exit, Failure> {
    let pending = AgentClient::connect().await?.pending().await?;
    if format.json {
        print_json(&pending)?;
    } else if pending.is_empty() {
        print("nothing is pending")?;
    } else {
        print(&pending_table(&pending, columns()))?;
    }
    Ok(Exit::Ok)
}

/// `stile grants`.
pub(super) async fn grants(format: Format) -> Result<Exit, Failure> {
    let grants = AgentClient::connect().await?.grants().await?;
    if format.json {
        print_json(&grants)?;
    } else if grants.is_empty() {
        print("no grant is live")?;
    } else {
        print(&grants_table(&grants, columns()))?;
    }
    Ok(Exit::Ok)
}

/// `stile prompters`.
pub(super) async fn prompters(format: Format) -> Result<Exit, Failure> {
    let prompters = AgentClient::connect().await?.prompters().await?;
    if format.json {
        print_json(&prompters)?;
    } else if prompters.is_empty() {
        print("no prompter is there; challenges are told on the terminal alone")?;
    } else {
        print(&prompters_table(&prompters, columns()))?;
    }
    Ok(Exit::Ok)
}

/// `stile elevations`.
pub(super) async fn elevations(format: Format) -> Result<Exit, Failure> {
    let elevations = AgentClient::connect().await?.elevations().await?;
    if format.json {
        print_json(&elevations)?;
    } else if elevations.is_empty() {
        print("no proof counts now")?;
    } else {
        print(&elevations_table(&elevations, columns()))?;
    }
    Ok(Exit::Ok)
}

/// The prompters as a table; with their users if there are several.
fn prompters_table(prompters: &[PrompterView], columns: Option<usize>) -> String {
    let users = several(prompters.iter().map(|view| view.uid));
    let mut heads = vec![("NAME", Cut::Never)];
    heads.extend(users.then_some(("USER", Cut::Back)));
    heads.extend([
        ("SESSION", Cut::Never),
        ("LANGUAGE", Cut::Never),
        ("SHOWS", Cut::Never),
        ("PLACES", Cut::Back),
    ]);
    let mut table = Table::new(&heads);
    for view in prompters {
        let or_dash = |text: &str| match text {
            "" => "-".to_owned(),
            text => escape(text),
        };
        let mut row = vec![escape(&view.name)];
        row.extend(users.then(|| user_name(view.uid)));
        row.push(or_dash(&view.session));
        row.push(or_dash(&view.language));
        row.push(view.showing.to_string());
        row.push(or_dash(&view.places.join(", ")));
        table.row(row);
    }
    table.render(columns)
}

fn is_well(status: &StatusView) -> bool {
    matches!(status.state.as_str(), "enforcing" | "observing") && status.problems.is_empty()
}

fn status_text(status: &StatusView) -> String {
    let style = if is_well(status) { GOOD } else { BAD };
    let enrolled = if status.enrolled {
        "enrolled"
    } else {
        "not enrolled; run `stile enroll`"
    };
    let mut text = format!(
        "{}\n  you        {enrolled}\n  policy     {} ({} endpoints, {} rules), loaded {}\n  \
         cgroup     {}\n  pending    {}\n  grants     {}\n  version    {}",
        styled(style, &escape(&status.state)),
        escape(&status.policy),
        status.endpoints,
        status.rules,
        escape(&status.policy_loaded),
        escape(&status.cgroup),
        status.pending,
        status.grants,
        escape(&status.version),
    );
    if !status.problems.is_empty() {
        text += &format!("\n{}", styled(BAD, "problems"));
    }
    // Writing to a String can't fail.
    for line in status.problems.iter().flat_map(|problem| problem.lines()) {
        let _ = write!(text, "\n  {}", escape(line));
    }
    if !status.faults.is_empty() {
        text += &format!("\n{}", styled(HEAD, "faults counted"));
    }
    for (name, number) in &status.faults {
        let _ = write!(text, "\n  {:20} {number}", escape(name));
    }
    text
}

/// The challenges as a table; with their users if there are several.
pub(super) fn pending_table(pending: &[ChallengeView], columns: Option<usize>) -> String {
    let users = several(pending.iter().map(|view| view.uid));
    let mut table = table_with_user(
        users,
        &[
            ("LEFT", Cut::Never),
            ("ENDPOINT", Cut::Back),
            ("DESTINATION", Cut::Back),
            ("PROGRAM", Cut::Front),
        ],
    );
    for view in pending {
        let mut row = vec![view.id.to_string()];
        row.extend(users.then(|| user_name(view.uid)));
        row.push(duration(view.seconds_left));
        row.push(escape(&view.endpoint));
        row.push(escape(&view.destination));
        row.push(format!("{} ({})", escape(&view.program), view.pid));
        table.row(row);
    }
    table.render(columns)
}

/// The grants as a table; with their users if there are several.
pub(super) fn grants_table(grants: &[GrantView], columns: Option<usize>) -> String {
    let users = several(grants.iter().map(|view| view.uid));
    let mut table = table_with_user(
        users,
        &[
            ("LEFT", Cut::Never),
            ("ENDPOINT", Cut::Back),
            ("SCOPE", Cut::Never),
            ("BY", Cut::Never),
            ("CONNS", Cut::Never),
            ("RULE", Cut::Back),
        ],
    );
    for view in grants {
        let mut row = vec![view.id.to_string()];
        row.extend(users.then(|| user_name(view.uid)));
        row.push(duration(view.seconds_left));
        row.push(escape(&view.endpoint));
        row.push(escape(&view.scope));
        row.push(escape(&view.factor));
        row.push(view.connections.to_string());
        row.push(escape(&view.rule));
        table.row(row);
    }
    table.render(columns)
}

/// The proofs as a table; with their users if there are several.
fn elevations_table(elevations: &[ElevationView], columns: Option<usize>) -> String {
    let users = several(elevations.iter().map(|view| view.uid));
    let mut table = table_with_user(
        users,
        &[
            ("REALM", Cut::Back),
            ("SCOPE", Cut::Never),
            ("BY", Cut::Never),
            ("SINCE", Cut::Never),
        ],
    );
    for view in elevations {
        let mut row = vec![view.id.to_string()];
        row.extend(users.then(|| user_name(view.uid)));
        row.push(escape(&view.realm));
        row.push(escape(&view.scope));
        row.push(escape(&view.factor));
        row.push(duration(view.seconds_since));
        table.row(row);
    }
    table.render(columns)
}

fn table_with_user(users: bool, rest: &[(&'static str, Cut)]) -> Table {
    let mut heads = vec![("ID", Cut::Never)];
    heads.extend(users.then_some(("USER", Cut::Back)));
    heads.extend(rest);
    Table::new(&heads)
}

/// True unless all of these are the user who looks at them.
fn several(mut uids: impl Iterator<Item = Uid>) -> bool {
    let me = Uid(nix::unistd::geteuid().as_raw());
    uids.any(|uid| uid != me)
}

/// The user's name, or the number of one who has none.
pub(super) fn user_name(uid: Uid) -> String {
    match nix::unistd::User::from_uid(uid.0.into()) {
        Ok(Some(user)) => escape(&user.name),
        Ok(None) | Err(_) => uid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::ids::{ChallengeId, ElevationId, GrantId};

    fn me() -> Uid {
        Uid(nix::unistd::geteuid().as_raw())
    }

    fn challenge(uid: Uid) -> ChallengeView {
        ChallengeView {
            id: ChallengeId(7),
            uid,
            endpoint: "prod-db".into(),
            destination: "10.20.0.1:5432".into(),
            rule: "dba step-up".into(),
            realm: "prod".into(),
            program: "/usr/bin/psql".into(),
            pid: 4242,
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
            deadline: 1_767_582_058,
            seconds_left: 58,
            factors: vec!["totp".into()],
            reason: String::new(),
            reason_name: String::new(),
            reason_pattern: String::new(),
        }
    }

    fn status() -> StatusView {
        StatusView {
            version: "0.1.0".into(),
            state: "enforcing".into(),
            cgroup: "/sys/fs/cgroup".into(),
            policy: "0123456789abcdef".into(),
            policy_loaded: "2026-01-05T03:00:00Z".into(),
            endpoints: 3,
            rules: 5,
            pending: 1,
            grants: 2,
            enrolled: true,
            problems: Vec::new(),
            faults: Vec::new(),
        }
    }

    #[test]
    fn a_pending_challenge_is_one_line() {
        let text = pending_table(&[challenge(me())], Some(80));
        assert_eq!(
            strip_str(&text).to_string(),
            "ID  LEFT  ENDPOINT  DESTINATION     PROGRAM\n\
             7   58s   prod-db   10.20.0.1:5432  /usr/bin/psql (4242)"
        );
    }

    #[test]
    fn what_is_somebody_elses_says_whose_it_is() {
        let text = pending_table(&[challenge(Uid(4_000_000))], Some(80));
        assert!(text.contains("USER") && text.contains("4000000"), "{text}");
    }

    #[test]
    fn a_long_challenge_fits_into_eighty_columns_with_its_programs_name() {
        let mut view = challenge(me());
        view.destination = "[2001:db8:1111:2222:3333:4444:5555:6666]:5432".into();
        view.program = "/opt/some/very/long/path/with/many/parts/psql".into();
        let text = strip_str(&pending_table(&[view], Some(80))).to_string();
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(text.contains("psql (4242)"), "{text}");
    }

    #[test]
    fn a_grant_is_one_line() {
        let grant = GrantView {
            id: GrantId(12),
            uid: me(),
            endpoint: "prod-db".into(),
            rule: "dba step-up".into(),
            scope: "user".into(),
            factor: "totp".into(),
            seconds_left: 125,
            connections: 2,
        };
        let text = grants_table(&[grant], Some(80));
        assert_eq!(
            strip_str(&text).to_string(),
            "ID  LEFT    ENDPOINT  SCOPE  BY    CONNS  RULE\n\
             12  2m 05s  prod-db   user   totp  2      dba step-up"
        );
    }

    #[test]
    fn a_proof_is_one_line() {
        let elevation = ElevationView {
            id: ElevationId(3),
            uid: me(),
            realm: "databases".into(),
            factor: "totp".into(),
            scope: "unit".into(),
            seconds_since: 65,
        };
        let text = elevations_table(&[elevation], Some(80));
        assert_eq!(
            strip_str(&text).to_string(),
            "ID  REALM      SCOPE  BY    SINCE\n\
             3   databases  unit   totp  1m 05s"
        );
    }

    #[test]
    fn a_healthy_agent_says_so() {
        let text = status_text(&status());
        assert_eq!(
            strip_str(&text).to_string(),
            "enforcing\n  you        enrolled\n  \
             policy     0123456789abcdef (3 endpoints, 5 rules), loaded 2026-01-05T03:00:00Z\n  \
             cgroup     /sys/fs/cgroup\n  pending    1\n  grants     2\n  version    0.1.0"
        );
    }

    #[test]
    fn problems_are_shown_and_make_it_unwell() {
        let mut status = status();
        assert!(is_well(&status));
        status.problems.push("the disk is full\x1b[2J".into());
        status.problems.push("two\nlines".into());
        status.faults.push(("ring-full".into(), 3));
        assert!(!is_well(&status));
        let text = strip_str(&status_text(&status)).to_string();
        assert!(
            text.contains("problems\n  the disk is full\\u{1b}[2J\n  two\n  lines"),
            "{text}"
        );
        assert!(text.contains("ring-full            3"), "{text}");
    }
}
