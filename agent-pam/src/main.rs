// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile-pam SERVICE USER`: asks PAM whether the person who answers is this user.
//!
//! The agent starts one for each question, as root, and reads the verdict from its standard
//! output; what PAM's modules ask in between goes over the same pipes (`protocol`). Modules are
//! foreign code that blocks, forks, prints and crashes, which is why they run here.
//!
//! The exit code is 0 if PAM said yes, 1 if it said no, and 2 if nobody could be asked.

mod conversation;
mod lines;
mod own;
#[path = "../../agent/src/verify/pam/protocol.rs"]
mod protocol;

use std::process::ExitCode;
use std::rc::Rc;

use nonstick::items::Items;
use nonstick::{
    AuthnFlags, ErrorCode, LibPamTransaction, PamShared, Transaction, TransactionBuilder,
};

use self::conversation::Forward;
use self::lines::Lines;
use self::protocol::{Message, Refusal};

/// PAM said no.
const REFUSED: u8 = 1;
/// Nobody could be asked.
const UNABLE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = match std::env::args_os()
        .skip(1)
        .map(std::ffi::OsString::into_string)
        .collect()
    {
        Ok(arguments) => arguments,
        Err(_) => return unable("an argument isn't UTF-8"),
    };
    let [service, user] = arguments.as_slice() else {
        return unable("usage: stile-pam SERVICE USER (stiled starts it)");
    };
    if let Err(why) = own::confine() {
        return unable(&why);
    }
    let lines = match own::take_pipes() {
        Ok((input, output)) => Rc::new(Lines::new(input, output)),
        Err(why) => return unable(&why),
    };
    let (verdict, code) = match ask(service, user, &lines) {
        Ok(()) => (Message::Passed {}, ExitCode::SUCCESS),
        Err((kind, text)) => {
            let text = lines::cut(&text);
            (Message::Failed { kind, text }, ExitCode::from(REFUSED))
        }
    };
    match lines.say(&verdict) {
        Ok(()) => code,
        Err(error) => unable(&format!("the agent is gone: {error}")),
    }
}

fn unable(why: &str) -> ExitCode {
    eprintln!("stile-pam: {why}");
    ExitCode::from(UNABLE)
}

/// Both questions of PAM, and whether they were answered about this user. The transaction ends
/// with it (`pam_end`).
fn ask(service: &str, user: &str, lines: &Rc<Lines>) -> Result<(), (Refusal, String)> {
    let mut pam = TransactionBuilder::new_with_service(service)
        .username(user)
        .build(Forward::new(Rc::clone(lines)))
        .map_err(|error| (Refusal::Broken, format!("pam_start: {error}")))?;
    // A user whose password is empty hasn't proven anything.
    let flags = AuthnFlags::DISALLOW_NULL_AUTHTOK;
    pam.authenticate(flags)
        .map_err(|error| (kind_of(error), format!("pam_authenticate: {error}")))?;
    is_still(&pam, user)?;
    pam.account_management(flags).map_err(|error| {
        let kind = match kind_of(error) {
            kind @ (Refusal::Unavailable | Refusal::Conversation | Refusal::Broken) => kind,
            _ => Refusal::Account,
        };
        (kind, format!("pam_acct_mgmt: {error}"))
    })?;
    is_still(&pam, user)
}

/// Modules may go on with another user than the one they were asked about (pam_set_item(3)).
fn is_still(pam: &LibPamTransaction<Forward>, user: &str) -> Result<(), (Refusal, String)> {
    match pam.items().user() {
        Ok(Some(found)) if found == user => Ok(()),
        Ok(found) => Err((
            Refusal::OtherUser,
            format!("asked about {user:?}, and a module went on about {found:?}"),
        )),
        Err(error) => Err((Refusal::Broken, format!("pam_get_item: {error}"))),
    }
}

fn kind_of(error: ErrorCode) -> Refusal {
    match error {
        ErrorCode::AuthenticationError => Refusal::Wrong,
        ErrorCode::UserUnknown => Refusal::UnknownUser,
        ErrorCode::MaxTries => Refusal::MaxTries,
        ErrorCode::PermissionDenied
        | ErrorCode::AccountExpired
        | ErrorCode::NewAuthTokRequired
        | ErrorCode::AuthTokExpired
        | ErrorCode::CredentialsExpired => Refusal::Account,
        ErrorCode::AuthInfoUnavailable
        | ErrorCode::CredentialsInsufficient
        | ErrorCode::CredentialsUnavailable
        | ErrorCode::TryAgain => Refusal::Unavailable,
        ErrorCode::ConversationError => Refusal::Conversation,
        _ => Refusal::Broken,
    }
}
