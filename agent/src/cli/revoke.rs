// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile revoke`: ends grants before their time.

use super::answer_args::Revoke;
use super::enroll::find_user;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::show::grants_table;
use super::text::count;
use crate::bus::AgentClient;
use crate::ids::GrantId;
use crate::service::GrantView;

/// Runs the command.
pub(super) async fn run(args: Revoke) -> Result<Exit, Failure> {
    let named = args.id.map(GrantId);
    let ended = if let Some(user) = &args.user {
        if named.is_none() && !args.all {
            let text = "name a grant of theirs, or end all of them with --all";
            return Err(Failure::new(Exit::Usage, text));
        }
        let client = AgentClient::connect_as_admin().await?;
        client.revoke_of(find_user(user)?, named).await?
    } else {
        let client = AgentClient::connect().await?;
        let which = match (named, args.all) {
            (None, false) => Some(only(&client.grants().await?)?),
            (named, _) => named,
        };
        client.revoke(which).await?
    };
    if args.format.json {
        print_json(&serde_json::json!({ "revoked": ended }))?;
    }
    if ended == 0 {
        return Err(nothing());
    }
    if !args.format.json {
        let text = match args.all {
            true => format!("revoked: {ended} (grants and proofs)"),
            false => format!("revoked: {}", count(ended, "grant")),
        };
        print(&text)?;
    }
    Ok(Exit::Ok)
}

/// The only grant there is.
fn only(grants: &[GrantView]) -> Result<GrantId, Failure> {
    match grants {
        [] => Err(nothing()),
        [grant] => Ok(grant.id),
        [first, ..] => {
            let text = format!(
                "several are live. Name one, as in `stile revoke {}`, or all with --all\n\n{}",
                first.id,
                grants_table(grants, Some(80))
            );
            Err(Failure::new(Exit::Usage, text))
        }
    }
}

fn nothing() -> Failure {
    Failure::new(Exit::Nothing, "no grant is live")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uid;

    fn grant(id: u64) -> GrantView {
        GrantView {
            id: GrantId(id),
            uid: Uid(1000),
            endpoint: "prod-db".into(),
            rule: "dba".into(),
            scope: "user".into(),
            factor: "totp".into(),
            seconds_left: 60,
            connections: 0,
        }
    }

    #[test]
    fn only_a_single_grant_is_meant_without_a_name() {
        assert_eq!(only(&[grant(3)]), Ok(GrantId(3)));
        assert_eq!(only(&[]).unwrap_err().exit(), Exit::Nothing);
        let failure = only(&[grant(3), grant(4)]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.text().contains("stile revoke 3"));
    }
}
