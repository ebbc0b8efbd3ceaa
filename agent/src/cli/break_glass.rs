// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile break-glass`: past the rules, in an emergency.

use std::time::Duration;

use super::answer_args::BreakGlass;
use super::approve::outcome;
use super::failure::{Exit, Failure};
use super::output::{columns, print, print_json};
use super::proof::Asked;
use super::reason::reason;
use super::table::{Cut, Table};
use super::terminal::Prompter;
use super::text::{BAD, GOOD, HEAD, duration, escape, styled};
use crate::bus::AgentClient;
use crate::service::{Emergency, EmergencyView, ProofFor};
use crate::texts::Texts;
use crate::texts::Value::{Number, Text};

/// How long somebody may take to type.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Runs the command: without an endpoint it lists those that there are.
pub(super) async fn run(args: BreakGlass) -> Result<Exit, Failure> {
    let texts = Texts::of_environment();
    let client = AgentClient::connect().await?;
    let emergencies = client.emergencies().await?;
    let Some(endpoint) = args.endpoint.as_deref() else {
        return list(&texts, &emergencies, args.format.json);
    };
    let Some(view) = emergencies.iter().find(|view| view.endpoint == endpoint) else {
        // It is asked for all the same: a try that may not be is for the record.
        let wanted = Emergency {
            endpoint: endpoint.to_owned(),
            reason: args.with.reason.unwrap_or_default(),
        };
        let refused = client.break_glass(&wanted, &String::new().into()).await;
        return refused.map(|_| Exit::Refused).map_err(Failure::from);
    };
    let prompter = Prompter::open(args.stdin)?;
    prompter.say(&block(&texts, view))?;
    let asked = view.asked_reason();
    let why = reason(
        &texts,
        &prompter,
        &asked,
        args.with.reason.as_deref(),
        PATIENCE,
    )
    .await?;
    let wanted = Emergency {
        endpoint: view.endpoint.clone(),
        reason: why.unwrap_or_default(),
    };
    let asked = Asked {
        texts: &texts,
        prompter: &prompter,
        what: ProofFor::Emergency(wanted.clone()),
        possible: view.factors.clone(),
        named: args.with.factor,
    };
    let answer = asked
        .answer(async |code| client.break_glass(&wanted, code).await)
        .await?;
    if args.format.json {
        print_json(&answer)?;
    }
    let text = outcome(&texts, &view.endpoint, &answer)
        .map_err(|text| Failure::new(Exit::Refused, text))?;
    if !args.format.json {
        print(&styled(GOOD, &text))?;
    }
    Ok(Exit::Ok)
}

fn list(texts: &Texts, emergencies: &[EmergencyView], json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(&emergencies)?;
    } else if emergencies.is_empty() {
        print(&texts.say("cli-no-emergency"))?;
    } else {
        print(&table(emergencies, columns()))?;
    }
    Ok(Exit::Ok)
}

fn table(emergencies: &[EmergencyView], columns: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("ENDPOINT", Cut::Back),
        ("OPEN", Cut::Never),
        ("AT MOST", Cut::Never),
        ("TIMES LEFT", Cut::Never),
        ("PROOF", Cut::Back),
    ]);
    for view in emergencies {
        table.row(vec![
            escape(&view.endpoint),
            match view.seconds_left {
                0 => "-".to_owned(),
                left => duration(left),
            },
            duration(view.ttl_seconds),
            format!("{} of {}", view.left, view.per_day),
            escape(&view.factors.join(", ")),
        ]);
    }
    table.render(columns)
}

/// What is about to happen, for the one who does it.
fn block(texts: &Texts, view: &EmergencyView) -> String {
    let endpoint = escape(&view.endpoint);
    let time = texts.span(view.ttl_seconds);
    let values = [
        ("endpoint", Text(&endpoint)),
        ("time", Text(&time)),
        ("number", Number(view.left.into())),
    ];
    let heading = styled(HEAD, &texts.fill("cli-emergency", &values));
    let warning = styled(BAD, &texts.say("cli-emergency-alarm"));
    format!(
        "{heading}\n  {warning}\n  {}",
        texts.fill("cli-emergency-left", &values)
    )
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn view() -> EmergencyView {
        EmergencyView {
            endpoint: "prod-db".into(),
            ttl_seconds: 3600,
            per_day: 2,
            left: 1,
            seconds_left: 0,
            factors: vec!["totp".into()],
            reason_name: String::new(),
            reason_pattern: String::new(),
        }
    }

    #[test]
    fn an_emergency_is_one_line() {
        let text = table(&[view()], Some(80));
        assert_eq!(
            strip_str(&text).to_string(),
            "ENDPOINT  OPEN  AT MOST     TIMES LEFT  PROOF\n\
             prod-db   -     1h 00m 00s  1 of 2      totp"
        );
    }

    #[test]
    fn who_breaks_the_glass_reads_that_it_is_told() {
        let text = strip_str(&block(&Texts::english(), &view())).to_string();
        assert_eq!(
            text,
            "Emergency: opens prod-db for 1 hour, past the rules\n  \
             This is recorded and raises an alarm.\n  \
             1 time is left within 24 hours"
        );
    }
}
