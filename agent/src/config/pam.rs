// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The services of PAM that users of this host can prove themselves with: `[[pam]]` of
//! stile.toml.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::collect::Findings;
use super::table::{Table, Value};
use crate::policy::{Assurance, ServiceName};

/// How long a service may take unless it says otherwise: a fingerprint reader asks three times
/// within half a minute.
const USUAL_TIME: Duration = Duration::from_secs(45);
const TIMES: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(300);
/// More than a host has.
const MAX_SERVICES: usize = 16;

/// One service of PAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PamSetting {
    /// Its name: that of its file in `/etc/pam.d`.
    pub service: ServiceName,
    /// How much it is worth. PAM says yes or no, and never how.
    pub assurance: Assurance,
    /// How long it may take.
    pub timeout: Duration,
}

/// Reads the list of services.
pub(super) fn services(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<PamSetting>> {
    let nothing = "leave the key out if there is none";
    let items = value.list("a list of tables", nothing, findings)?;
    if items.len() > MAX_SERVICES {
        let text = format!("{} services, but at most {MAX_SERVICES} fit", items.len());
        findings.error(&value.spot(), text);
        return None;
    }
    let mut services: Vec<PamSetting> = Vec::new();
    let mut whole = true;
    for item in &items {
        let read = item
            .table("a service of PAM", findings)
            .and_then(|table| service(table, findings));
        let Some(service) = read else {
            whole = false;
            continue;
        };
        if services
            .iter()
            .any(|other| other.service == service.service)
        {
            let text = format!("the service {:?} is there twice", service.service.as_str());
            findings.error(&item.spot(), text);
            whole = false;
        }
        services.push(service);
    }
    whole.then_some(services)
}

fn service(mut table: Table<'_>, findings: &mut Findings) -> Option<PamSetting> {
    let name = table
        .require("service", findings)
        .and_then(|value| name(&value, findings));
    let assurance = match table.take("assurance") {
        Some(value) => value
            .integer_in(1..=3_u8, "level of assurance", findings)
            .and_then(Assurance::new),
        None => Some(Assurance::LOW),
    };
    let timeout = match table.take("timeout") {
        Some(value) => value.duration_in(TIMES, findings),
        None => Some(USUAL_TIME),
    };
    table.finish(&[("name", "service"), ("level", "assurance")], findings);
    Some(PamSetting {
        service: name?,
        assurance: assurance?,
        timeout: timeout?,
    })
}

fn name(value: &Value<'_>, findings: &mut Findings) -> Option<ServiceName> {
    let text = value.text("the name of a service of PAM", findings)?;
    let name = text.parse().ok();
    if name.is_none() {
        findings
            .error(
                &value.spot(),
                format!("{text:?} is no service that can be asked"),
            )
            .help(
                "write the name of a file in /etc/pam.d that was made for stile, as \
                 \"stile-stepup\": it begins with \"stile-\"; services of logins take a \
                 password, which is no further factor",
            );
    }
    name
}
